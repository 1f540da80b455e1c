"""Step metrics as JSON lines (`metrics.jsonl`) and TensorBoard events, consistent across resumed runs.
One object a step with at least `step` and `loss`."""

import json
import statistics
from contextlib import nullcontext, suppress
from pathlib import Path

from robust_iqa_jax.files import cure, write_text

FILE = "metrics.jsonl"


def training_seconds(folder: Path) -> float | None:
    """Seconds of all steps of a run, from its work folder's `metrics.jsonl`; None without such a file."""
    return sum(_step_seconds(folder)) if (folder / FILE).is_file() else None


def median_step_seconds(folder: Path) -> float:
    """Seconds of a run's median step, input included, so that the steps that compile do not count."""
    return statistics.median(_step_seconds(folder))


def _step_seconds(folder: Path) -> list[float]:
    return [json.loads(line)["seconds"] for line in (folder / FILE).read_text().splitlines()]


class MetricsLog:
    """Appends to `folder/metrics.jsonl` and `folder/tensorboard`; lines past `resume_step` are dropped first."""

    def __init__(self, folder: Path, resume_step: int) -> None:
        """Open; a resumed run repeats the steps after its checkpoint, so their old lines go."""
        path = folder / FILE
        lines = []
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    if json.loads(line)["step"] <= resume_step:
                        lines.append(line + "\n")
                except (json.JSONDecodeError, KeyError):
                    break  # the line that a killed run was writing
        from tensorboardX import SummaryWriter  # imports PyTorch where there is one, which takes seconds

        write_text(path, "".join(lines))
        self._lines = path.open("a")
        self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=resume_step + 1)

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """One step.

        Raises:
          OSError: the disk is full, for example.
        """
        try:
            self._lines.write(json.dumps({"step": step, **metrics}) + "\n")
            self._lines.flush()
            for name, value in metrics.items():
                self._events.add_scalar(name, value, step)
        except OSError as error:
            raise OSError(
                f"{self._lines.name}: cannot be written ({error.strerror}); {cure(error)} and repeat the command: it "
                "goes on from the last checkpoint"
            ) from error

    def __enter__(self) -> "MetricsLog":
        """Itself; leaving the block closes it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close; each line was flushed when it was written."""
        for file in (self._lines, self._events):
            # where an error ends the run, that is the one to report, not that a full disk does not take the rest either
            with nullcontext() if kind is None else suppress(OSError):
                file.close()
