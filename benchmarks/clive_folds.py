"""Does a defence cost accuracy on real photos, and what does it buy? A study on five folds of LIVE In the Wild.

    python -m robust_iqa_jax.benchmarks.clive_folds --data DIR/scores.csv --out runs/clive --results results

Trains the runs of a study on four folds each, scores all photos of the fifth and attacks some of them. Killed, it goes
on where it was. The cost of training is what the logs of the last fold tell, so nothing else should run beside that
one; scoring is timed at the end, with the models of that fold in turns.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from robust_iqa_jax.benchmarks.machine import machine
from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.config_file import load_config
from robust_iqa_jax.commands.progress import out
from robust_iqa_jax.commands.prune import costs
from robust_iqa_jax.commands.study import run_study
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.files import check_folder, write_text
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.report import tables
from robust_iqa_jax.report.comparison import against_baselines
from robust_iqa_jax.report.files import Report, read_report
from robust_iqa_jax.report.findings import undefended
from robust_iqa_jax.report.plots import png, tradeoff
from robust_iqa_jax.report.table import Table, markdown, number
from robust_iqa_jax.report.types import GainRow, ModelFacts
from robust_iqa_jax.study import StudyConfig
from robust_iqa_jax.training.metrics_log import median_step_seconds


@dataclass(frozen=True)
class Args:
    """Study, folds, and where everything goes."""

    data: str
    """Label table with a fold column."""
    study: str = "clive_study"
    """Path of the file of a study.StudyConfig, or the name of one that ships with the package."""
    out: Path = Path("runs/clive")
    """Work folder, one sub-folder a fold with its report."""
    results: Path | None = None
    """Folder for the dated table and plot; none are written where not given."""
    folds: tuple[str, ...] = ("0", "1", "2", "3", "4")


def main(args: Args) -> None:
    """Run what is missing, then print and store the mean over the folds."""
    study = load_config(args.study, StudyConfig)
    if args.results is not None:
        check_folder(args.results, "--results")
    base = dataclasses.replace(study.base, data=args.data, cache_dir=args.out / "frozen_maps")
    for fold in args.folds:
        if not (args.out / fold / "report.json").exists():
            of_fold = dataclasses.replace(study, base=dataclasses.replace(base, test_group=fold))
            run_study(of_fold, args.out / fold, args.study)
    if args.results is None:
        return
    reports = [read_report(args.out / fold)[0] for fold in args.folds]
    mean = mean_report(reports)
    models = mean.models
    photos, _ = split_photos(open_photos(args.data), args.folds[-1])
    made = [
        accuracy_by_fold(args.folds, reports),
        tables.accuracy(models),
        tables.gains(mean),
        tables.compression(mean),
        tables.paired(against_baselines(mean), models),
        cost(study, args.out / args.folds[-1], len(photos), undefended(models)),
    ]
    name = Path(args.study).stem
    lines = [f"# {name} on LIVE In the Wild: means over folds {', '.join(args.folds)}", ""]
    lines += [f"{key}: {value}  " for key, value in machine().items()] + [""]
    attacked = sum(report.rows[0].get("n", 0) for report in reports)
    lines += [f"{attacked} photos attacked in all, at {study.base.model.input_size}.", ""]
    lines += [line for table in made for line in markdown(table)]
    lines += ["Configuration:", "", "```json", json.dumps(dataclasses.asdict(study), default=str), "```", ""]
    out.print("\n".join(lines), markup=False)
    stem = f"{time.strftime('%Y-%m-%d')}_{name}_folds"
    write_text(args.results / f"{stem}.md", "\n".join(lines))
    png(tradeoff(mean.rows, models, mean.one_way_attacks()), args.results / f"{stem}.png")


def mean_report(reports: Sequence[Report]) -> Report:
    """Reports of the same models and attacks on different photos as one: numbers averaged, all photos together."""
    rows = [cast(GainRow, _mean(same)) for same in zip(*(report.rows for report in reports), strict=True)]
    models = {name: cast(ModelFacts, _mean([report.models[name] for report in reports])) for name in reports[0].models}
    per_image = [row for report in reports for row in report.per_image]
    return Report(rows, models, per_image, attacks=reports[0].attacks)


def _mean(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    numbers = {key for key in facts[0] if key != "eps" and all(isinstance(row[key], float | int) for row in facts)}
    return {key: float(np.mean([row[key] for row in facts])) if key in numbers else facts[0][key] for key in facts[0]}


def accuracy_by_fold(folds: Sequence[str], reports: Sequence[Report]) -> Table:
    """SROCC of every model on every held-out fold."""
    columns = (tables.MODEL, *(number(f"fold {fold}") for fold in folds))
    rows = tuple((name, *(report.models[name]["srocc"] for report in reports)) for name in reports[0].models)
    return Table("folds", "SROCC on the held-out fold", columns, rows)


def cost(study: StudyConfig, folder: Path, photos: int, baselines: Mapping[str, str]) -> Table:
    """What every model of a finished fold costs, beside its undefended one.

    Args:
      study: that was run.
      folder: of the fold.
      photos: trained on.
      baselines: model -> its undefended one.
    """
    batches = photos / study.base.batch_size
    training = {name: batches * median_step_seconds(folder / name) for name in baselines}
    scorers = {name: checkpoint.load(folder / name) for name in baselines}
    testing = {name: facts["milliseconds"] for name, facts in costs(scorers).items()}
    columns = (
        tables.MODEL, number("training, s an epoch", 1), number("of its baseline's", 2),
        number("testing, ms a photo", 2), number("of its baseline's", 2),
    )  # fmt: skip
    rows = tuple(
        (name, training[name], training[name] / training[other], testing[name], testing[name] / testing[other])
        for name, other in baselines.items()
    )
    note = (
        f"Training: the median step of fold {folder.name}, compilation left out, times the batches of an epoch. "
        "Testing: batches of the resized photos, models in turns."
    )
    return Table("cost", "Cost", columns, rows, note)


if __name__ == "__main__":
    main(parsed(Args, sys.argv[1:], "clive_folds", __doc__))
