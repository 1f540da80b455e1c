"""`riqa quickstart`: trains a model without and with the RobustBlock, prunes, attacks and reports, with no download.
Example: riqa quickstart --out runs/quickstart"""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from robust_iqa_jax.commands.config_file import load_config
from robust_iqa_jax.commands.evaluate import evaluate_scorers, pgd_grid, with_training_seconds
from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.commands.train import run
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.evaluation.report import write_report
from robust_iqa_jax.study import EPS, StudyConfig, variants


@dataclass(frozen=True)
class QuickstartArgs:
    """Run the study of configs/quickstart.py."""

    out: Path = Path("runs/quickstart")
    """Work folder; an interrupted quickstart found there goes on."""


def main(args: list[str]) -> int:
    """Run the command; its exit status."""
    parsed = tyro.cli(QuickstartArgs, args=args, prog="riqa quickstart", description=__doc__)
    began = time.perf_counter()
    study = load_config("quickstart", StudyConfig)
    study = dataclasses.replace(study, base=dataclasses.replace(study.base, cache_dir=parsed.out / "frozen_maps"))
    with err.status("making the embedded photos"):
        photos = open_photos(study.base.data)
    training, test = split_photos(photos, study.base.test_group)
    out.print(f"{len(training)} training and {len(test)} test photos, labels: {photos.label} (a formula, not people)")
    scorers = {name: run(config, training, test)[0] for name, config in variants(study, parsed.out).items()}
    report = evaluate_scorers(
        scorers, test, lambda _: pgd_grid(study.attack_steps, EPS), study.attack_photos, study.base.seed
    )
    models = with_training_seconds(report.models, {name: parsed.out / name for name in scorers})
    write_report(parsed.out, report.rows, models, per_image=report.per_image, title="riqa quickstart")
    first = next(iter(scorers))
    out.print(f"\n{parsed.out / 'report.md'}, report.json, tradeoff.png; {time.perf_counter() - began:.0f} s in all")
    out.print(f"next: riqa report {parsed.out}", markup=False)
    out.print(f"      riqa score PHOTO --checkpoint {parsed.out / first}")
    return 0
