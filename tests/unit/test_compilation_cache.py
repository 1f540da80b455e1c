"""Compiled programs are kept in the user's cache folder, unless the user says otherwise, and do not fill the disk."""

import os
import subprocess
import sys

import pytest

from robust_iqa_jax.compilation_cache import FOLDER, SWITCH, cache_folder, keep_compiled_programs, remove_oldest


def test_the_folder_is_in_the_users_cache(tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    keep_compiled_programs(environment)
    folder = cache_folder(environment)
    assert environment[FOLDER] == str(folder)
    assert folder.is_dir()
    assert folder.parent == tmp_path / "robust_iqa_jax"


@pytest.mark.parametrize("said", [{SWITCH: "0"}, {FOLDER: ""}, {FOLDER: "elsewhere"}])
def test_the_users_own_word_counts(said, tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path), **said}
    keep_compiled_programs(environment)
    assert environment == {"XDG_CACHE_HOME": str(tmp_path), **said}
    assert not list(tmp_path.iterdir())


def test_a_cache_folder_that_cannot_be_is_done_without(tmp_path):
    (tmp_path / "file").write_text("")
    environment = {"XDG_CACHE_HOME": str(tmp_path / "file")}
    keep_compiled_programs(environment)
    assert FOLDER not in environment


def test_the_oldest_programs_go_first(tmp_path):
    for age, name in enumerate(("new", "middle", "old")):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    remove_oldest(tmp_path, limit=250)
    assert {file.name for file in tmp_path.iterdir()} == {"new", "middle"}
    remove_oldest(tmp_path, limit=250)
    assert len(list(tmp_path.iterdir())) == 2


def test_commands_keep_programs_and_benchmarks_do_not(tmp_path):
    code = f"""
import os, sys
from robust_iqa_jax.cli import main
main(sys.argv[1:])
print({FOLDER!r} in os.environ)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    for args, kept in ((["models", "koncept512"], "True"), (["bench"], "False")):
        done = subprocess.run([sys.executable, "-c", code, *args], env=environment, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == kept
