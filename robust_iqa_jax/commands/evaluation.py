"""What the commands that evaluate share: the progress bar, and the report folder with its summary on the terminal.
Apart from evaluate.py, whose arguments are to be checked before all that this imports."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from robust_iqa_jax.commands.progress import bar, out
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.devices import Count
from robust_iqa_jax.evaluation.results import ResultFolder
from robust_iqa_jax.evaluation.suite import SuiteConfig, SuiteData
from robust_iqa_jax.models.scorer import Scorer
from robust_iqa_jax.report.files import Report, summary, write_report
from robust_iqa_jax.report.photos import OnProgress, evaluate_suite
from robust_iqa_jax.report.types import ModelFacts
from robust_iqa_jax.training.metrics_log import training_seconds


@contextmanager
def on_bar() -> Iterator[OnProgress]:
    """A progress bar as what `evaluate_photos` calls."""
    with bar() as progress:
        task = progress.add_task("attacking", total=None, note="")

        def on_progress(model: str, images: int, total: int) -> None:
            progress.update(task, total=total, advance=images, note=model)

        yield on_progress


def run_suite(
    suite: SuiteConfig,
    scorers: dict[str, Scorer],
    line: SuiteData,
    rest: PhotoSet,
    test: PhotoSet,
    folder: Path,
    title: str,
    devices: Count = 1,
    parquet: bool = False,
) -> None:
    """Run what is missing of a suite on one of its data, and write the report.

    Args:
      suite, scorers, line, rest, test, devices: as in `evaluate_suite`.
      folder: of the report; finished parts lie in cells/ there.
      title: of the report.
      parquet: write per_image.parquet too.
    """
    with on_bar() as on_progress:
        report = evaluate_suite(
            suite, scorers, line, rest, test, ResultFolder(folder / "cells"), devices=devices, on_progress=on_progress
        )
    write_evaluation(folder, report, {model: Path(path) for model, path in suite.models.items()}, title, parquet)


def with_training_seconds(models: Mapping[str, ModelFacts], workdirs: Mapping[str, Path]) -> dict[str, ModelFacts]:
    """Model facts with "train_seconds", the seconds of the run's steps, for models whose folder has its log; a defence
    at inference has its model's."""
    return {
        name: cast(ModelFacts, {**facts, "train_seconds": training_seconds(workdirs[facts.get("defends", name)])})
        for name, facts in models.items()
    }


def write_evaluation(folder: Path, report: Report, workdirs: Mapping[str, Path], title: str, parquet: bool) -> None:
    """Write the report folder of an evaluation and print its summary."""
    report = dataclasses.replace(report, models=with_training_seconds(report.models, workdirs))
    write_report(folder, report, title=title, parquet=parquet)
    out.print(summary(report), markup=False)
    out.print(f"next: riqa report {folder}", markup=False)
