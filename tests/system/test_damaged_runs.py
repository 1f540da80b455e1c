"""Work folders that cannot be written to or read: one line that says so, and the last whole checkpoint goes on."""

import gc
import json
import resource
import shutil
import time
from pathlib import Path

import pytest
from finished_runs import assert_same_model
from slow_cases import slow_but
from small_run import CONFIG

from robust_iqa_jax.training.loop import train

pytestmark = [
    pytest.mark.usefixtures("hardly_optimised", "tiny_photos"),
    # orbax leaves files and coroutines open where reading or writing fails
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]


@pytest.fixture(autouse=True)
def leftovers():
    """What orbax left is collected here, where it is expected, and not during some other test."""
    yield
    gc.collect()


@pytest.fixture
def stopped(finished_run, tmp_path):
    """Folder of a run that ended after its last step, before its model was written."""
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder, ignore=shutil.ignore_patterns("model"))
    return folder


def damage(kind, checkpoint):
    if kind == "missing state":
        shutil.rmtree(checkpoint / "state")
    elif kind == "broken json":
        (checkpoint / "data" / "metadata").write_text("{")
    else:
        largest = max((p for p in checkpoint.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        content = largest.read_bytes()
        largest.write_bytes(content[: len(content) // 2] if kind == "truncated" else b"\0" * len(content))


@pytest.mark.parametrize("kind", slow_but(("truncated", "zeros", "missing state", "broken json"), "truncated"))
def test_a_damaged_checkpoint_is_named_and_the_one_before_goes_on(kind, stopped, finished_run, tiny_training):
    assert {path.name for path in (stopped / "checkpoints").iterdir()} == {"4", "6"}
    damage(kind, stopped / "checkpoints" / "6")
    message = (
        r"checkpoints/6: damaged, or of another version \(.*\); remove this folder and the same command goes on from"
    )
    with pytest.raises(ValueError, match=message + " step 4") as raised:
        train(CONFIG, tiny_training, stopped)
    assert "\n" not in str(raised.value)
    if kind != "truncated":
        return
    shutil.rmtree(stopped / "checkpoints" / "6")
    train(CONFIG, tiny_training, stopped)
    assert_same_model(stopped, finished_run)
    assert [json.loads(line)["step"] for line in (stopped / "metrics.jsonl").read_text().splitlines()] == [*range(1, 7)]


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        pytest.param(
            8000,
            r"checkpoints: a checkpoint cannot be written \(.*\); free some space and repeat the command",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            500,
            r"metrics.jsonl: cannot be written \(File too large\); free some space and repeat the command",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_disk_that_fills_up_is_named_and_the_run_goes_on_later(limit, message, finished_run, tiny_training, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(step, total, metrics):
        if step == 3:
            while not (tmp_path / "checkpoints" / "2").is_dir():  # the first one is whole
                time.sleep(0.01)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))  # of any file from now on

    try:
        with pytest.raises(OSError, match=message) as raised:
            train(CONFIG, tiny_training, tmp_path, fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(raised.value)
    assert 2 in {int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()}
    resumed = []
    train(CONFIG, tiny_training, tmp_path, lambda step, total, metrics: resumed.append(step))
    assert resumed == [3, 4, 5, 6]
    assert_same_model(tmp_path, finished_run)


def test_a_folder_that_cannot_be_written_to_is_named(tiny_training):
    with pytest.raises(ValueError, match=r"^workdir /proc/runs: cannot be written to \(.*\); choose another"):
        train(CONFIG, tiny_training, Path("/proc/runs"))
