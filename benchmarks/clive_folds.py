"""Does the RobustBlock cost accuracy on real photos, and what does it buy? Five folds of LIVE In the Wild.

    python benchmarks/clive_folds.py --data clive/scores.csv --out runs/clive --results benchmarks/results

Trains base, robust and robust-pruned on four folds each (configs/clive_lite0.py), scores all photos of the fifth,
attacks some of them with PGD-1 and PGD-8. A killed run goes on: finished folds are read from their reports.
"""

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from robust_iqa_jax.benchmarks.machine import machine
from robust_iqa_jax.commands.config_file import load_config
from robust_iqa_jax.commands.evaluate import evaluate_scorers
from robust_iqa_jax.commands.progress import out
from robust_iqa_jax.commands.train import run
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.evaluation.report import write_report
from robust_iqa_jax.evaluation.table import eps_text
from robust_iqa_jax.study import BASE, PRUNED, ROBUST, StudyConfig, variants

MEASURES = ("srocc", "plcc", "krocc", "rmse")


@dataclass(frozen=True)
class Args:
    """Folds, and where everything goes."""

    data: str
    """Label table with a fold column."""
    out: Path = Path("runs/clive")
    """Work folder, one sub-folder a fold."""
    results: Path | None = None
    """Folder for the dated table; none is written where not given."""
    folds: tuple[str, ...] = ("0", "1", "2", "3", "4")
    models: tuple[str, ...] = (BASE, ROBUST, PRUNED)
    """Variants to run; one that starts from another needs it too."""
    attack_photos: int | None = None
    """Photos attacked per fold; the configuration's where not given."""


def main() -> None:
    """Run what is missing, then print and store the mean over the folds."""
    args = tyro.cli(Args, description=__doc__)
    study = load_config("clive_study", StudyConfig)
    if args.attack_photos is not None:
        study = dataclasses.replace(study, attack_photos=args.attack_photos)
    photos = open_photos(args.data)
    for fold in args.folds:
        if not (args.out / fold / "report.json").exists():
            run_fold(study, photos, args, fold)
    reports = [json.loads((args.out / fold / "report.json").read_text()) for fold in args.folds]
    table = mean_table(reports, args.folds, study)
    out.print(table, markup=False)
    if args.results is not None:
        stamp = time.strftime("%Y-%m-%d")
        args.results.mkdir(parents=True, exist_ok=True)
        (args.results / f"{stamp}_clive_folds.md").write_text(table)
        stored = {"folds": dict(zip(args.folds, reports, strict=True)), "machine": machine()}
        (args.results / f"{stamp}_clive_folds.json").write_text(json.dumps(stored, indent=1) + "\n")


def run_fold(study: StudyConfig, photos: PhotoSet, args: Args, fold: str) -> None:
    """Train, prune, attack and report one fold."""
    base = dataclasses.replace(study.base, data=args.data, test_group=fold, cache_dir=args.out / "frozen_maps")
    training, test = split_photos(photos, fold)
    scorers, seconds = {}, {}
    configs = variants(dataclasses.replace(study, base=base), args.out / fold)
    for name in args.models:
        config = configs[name]
        began = time.perf_counter()
        scorers[name] = run(config, training, test)[0]
        seconds[name] = time.perf_counter() - began
    grid = [attack for row in study.attacks for attack in row.make()]
    report = evaluate_scorers(scorers, test, lambda _: grid, study.attack_photos, study.base.seed)
    models = {name: {**facts, "train_seconds": seconds[name]} for name, facts in report.models.items()}
    write_report(args.out / fold, report.rows, models, per_image=report.per_image, title=f"CLIVE, fold {fold}")


def mean_table(reports: list[dict[str, Any]], folds: tuple[str, ...], study: StudyConfig) -> str:
    """Markdown: accuracy by fold and in the mean, gains in the mean over folds."""
    names = list(reports[0]["models"])
    lines = ["# LIVE In the Wild, LinearityIQA over EfficientNet-Lite0", ""]
    lines += [f"{key}: {value}  " for key, value in machine().items()]
    lines += ["", "## Accuracy on the held-out fold", ""]
    lines += [
        "| model | " + " | ".join(f"SROCC fold {f}" for f in folds) + " | SROCC mean | PLCC | KROCC | RMSE | train s |"
    ]
    lines += ["| --- |" + " --- |" * (len(folds) + 5)]
    for name in names:
        each = [report["models"][name] for report in reports]
        mean = {measure: np.mean([facts[measure] for facts in each]) for measure in (*MEASURES, "train_seconds")}
        cells = [f"{facts['srocc']:.4f}" for facts in each]
        cells += [f"{mean[measure]:.4f}" for measure in MEASURES[:3]] + [f"{mean['rmse']:.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} | {mean['train_seconds']:.0f} |")
    attacked = sum(report["rows"][0]["n"] for report in reports)
    lines += ["", f"## Gains under PGD, mean over the folds ({attacked} photos attacked in all, at 500x500)", ""]
    columns = ("abs_gain_baseline_range", "abs_gain", "abs_gain_raw", "rscore_baseline_range", "rscore")
    lines += [
        "| model | attack | eps | AbsGain, baseline range | AbsGain, own range | AbsGain, raw "
        "| R-Score, baseline range | R-Score, own range |",
        "| --- |" + " --- |" * 7,
    ]
    for i, row in enumerate(reports[0]["rows"]):
        means = [np.mean([report["rows"][i][column] for report in reports]) for column in columns]
        cells = " | ".join(f"{value:.4f}" for value in means)
        lines.append(f"| {row['model']} | {row['attack']} | {eps_text(row['eps'])} | {cells} |")
    lines += ["", "Clean score range as a share of the undefended model's, mean over folds:"]
    for name in names:
        share = np.mean([report["models"][name]["clean_range_of_baseline"] for report in reports])
        lines.append(f"- {name}: {share:.2f}")
    config = dataclasses.asdict(study)
    lines += ["", "Configuration:", "", "```json", json.dumps(config, default=str), "```", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
