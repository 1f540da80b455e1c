"""Errors name settings as Python does; a command tells them with its options, and no other code speaks of those."""

import ast
import pickle
import re
from pathlib import Path

import pytest

import robust_iqa_jax
from robust_iqa_jax.cli import message
from robust_iqa_jax.data.photo_files import LabelTableError
from robust_iqa_jax.setting_error import SettingError, marked, setting, with_options
from robust_iqa_jax.training.guards import NotFinite
from robust_iqa_jax.weights.torch_pickle import CheckpointError

KINDS = (SettingError, LabelTableError, CheckpointError, NotFinite)


@pytest.mark.parametrize("kind", KINDS)
def test_python_reads_names_and_a_command_options(kind):
    error = kind(f"{setting('batch_size')} 1: {setting('also_lines')} need more")
    assert isinstance(error, ValueError)
    assert str(error) == "batch_size 1: also_lines need more"
    assert with_options(error) == message(error) == "--batch-size 1: --also-lines need more"


def test_an_option_may_have_another_name():
    error = SettingError(f"a.csv: exists; choose another {setting('folder', '--out')}")
    assert str(error) == "a.csv: exists; choose another folder"
    assert with_options(error) == "a.csv: exists; choose another --out"


@pytest.mark.parametrize("value", ["crop", "batch_size", "--crop", "{crop}", r"\1", "%s", "a\nb"])
def test_values_are_left_alone(value):
    error = SettingError(f"{setting('crop')} {value}: no")
    assert str(error) == f"crop {value}: no"
    assert with_options(error) == f"--crop {value}: no"


def test_an_error_told_by_another_keeps_both_spellings():
    inner = SettingError(f"name it with {setting('image_dir')}")
    outer = CheckpointError(f"cannot be read ({marked(inner)}); {marked(OSError('gone'))}")
    assert str(outer) == "cannot be read (name it with image_dir); gone"
    assert with_options(outer) == "cannot be read (name it with --image-dir); gone"


def test_other_errors_are_told_as_they_are():
    assert with_options(KeyError("batch_size")) == "'batch_size'"
    assert with_options(ValueError("batch_size 1")) == "batch_size 1"


def test_both_spellings_survive_another_process():
    error = pickle.loads(pickle.dumps(SettingError(f"{setting('crop')} 0")))
    assert (str(error), with_options(error)) == ("crop 0", "--crop 0")


WHOLE_COMMAND = re.compile(r"`?riqa [a-z]+[^`)]*`?( \([^)]*\))?|pip install [^;]*")
"""A command to type, with what is said of it in brackets: its options are right in Python too."""
OF_CSS = ("report/page.py", "report/svg.py")
"""Files of style sheets, whose names begin with two hyphens."""


def texts(tree):
    """(line, text) of all strings but docstrings and what `setting` is given, in parts as one with "{}" for values."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
    spelt = {id(argument) for call in calls if call.func.id == "setting" for argument in call.args}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values),
            )
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings | inner | spelt
        ):
            yield node.lineno, node.value


def options_named(source):
    """Lines with an option of a command in a string."""
    return [
        (line, text) for line, text in texts(ast.parse(source)) if re.search(r"--[a-z{]", WHOLE_COMMAND.sub("", text))
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise ValueError("--crop 3: too large")', 1),
        ('raise ValueError(f"{n} photos; lower --batch-size")', 1),
        ("raise ValueError(f\"--{field.replace('_', '-')} 3\")", 1),
        ('check_folder(folder, "--workdir")', 1),
        ('def f(option="--out"):\n    """Of riqa: --out."""', 1),
        ('raise ValueError(f"run `riqa convert FILE OUT --model {name} --half` and start from --model")', 1),
        ('raise ValueError(f"run `riqa convert FILE OUT "\n"--model {name} --half` (large: --half) first")', 0),
        ("raise SettingError(f\"{setting('crop')} 3 -- no\")", 0),
        ('OUT = setting("folder", "--out")', 0),
    ],
)
def test_the_search_finds_options(source, found):
    assert len(options_named(source)) == found


def test_only_commands_speak_of_options():
    root = Path(robust_iqa_jax.__file__).parent
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*.py")}
    commands = ("commands/", "benchmarks/", "configs/")  # the last two lie in the package where it is installed
    theirs = {name for name in files if name.startswith(commands) or name in ("cli.py", "setting_error.py", *OF_CSS)}
    found = {name: options_named(path.read_text()) for name, path in files.items() if name not in theirs}
    assert len(found) > 150
    assert {name: lines for name, lines in found.items() if lines} == {}
