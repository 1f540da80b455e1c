"""`riqa evaluate CHECKPOINT...`: accuracy and robustness of trained models on labelled photos, as a report folder.
Example: riqa evaluate runs/base runs/robust --data clive/scores.csv --test-group 0 --out runs/report"""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from robust_iqa_jax import attacks
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.masking import gradient_masking
from robust_iqa_jax.commands.progress import bar, out
from robust_iqa_jax.data.images import to_float
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.data.pipeline import resized
from robust_iqa_jax.evaluation.evaluate import Report, evaluate, merge
from robust_iqa_jax.evaluation.report import summary, write_report
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.scorer import Scorer
from robust_iqa_jax.study import EPS
from robust_iqa_jax.training.calibration import predict
from robust_iqa_jax.training.metrics_log import training_seconds


@dataclass(frozen=True)
class EvaluateArgs:
    """Evaluate checkpoints; the first is the undefended baseline whose score range scales the headline."""

    checkpoints: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Checkpoints or work folders; the last folder name is the model's name."""
    data: str = "distorted-photos"
    """Label table (CSV) or the embedded set."""
    test_group: str = "test"
    """Value of the split or fold column that is evaluated on."""
    steps: tuple[int, ...] = (1, 8)
    """PGD iterations, one attack for each."""
    eps: tuple[float, ...] = EPS
    """Attack sizes in [0,1] pixels."""
    suite: bool = False
    """Also attack with the strongest of several attacks, image by image, at every size; takes far longer."""
    masking: bool = False
    """Also check every model for masked gradients."""
    attack_photos: int | None = None
    """Photos attacked, evenly spaced over the group; all where not given. Accuracy is over all photos."""
    seed: int = 0
    out: Path = Path("runs/report")
    """Folder for report.json, report.md, per_image.csv and tradeoff.png."""


def main(args: list[str]) -> int:
    """Run the command; its exit status."""
    parsed = tyro.cli(EvaluateArgs, args=args, prog="riqa evaluate", description=__doc__)
    if not parsed.checkpoints:
        raise ValueError("give at least one checkpoint")
    workdirs = {path.resolve().name: path for path in parsed.checkpoints}
    scorers = {name: checkpoint.load(path) for name, path in workdirs.items()}
    if len(scorers) < len(parsed.checkpoints):
        raise ValueError("two checkpoints have the same folder name; the names tell the models apart in the report")
    _, test = split_photos(open_photos(parsed.data), parsed.test_group)
    grid = pgd_grid(parsed.steps, parsed.eps)
    grid += [attacks.suite(eps=eps) for eps in parsed.eps] if parsed.suite else []
    report = evaluate_scorers(scorers, test, grid, parsed.attack_photos, parsed.seed, masking=parsed.masking)
    models = with_training_seconds(report.models, workdirs)
    write_report(parsed.out, report.rows, models, per_image=report.per_image, title="riqa evaluate")
    out.print(summary(report.rows, models), markup=False)
    out.print(f"next: riqa report {parsed.out}", markup=False)
    return 0


def pgd_grid(steps: tuple[int, ...], eps: tuple[float, ...]) -> list[Attack]:
    """PGD for every number of iterations and every size."""
    return [attacks.pgd(eps=e, steps=n) for n in steps for e in eps]


def evaluate_scorers(
    scorers: dict[str, Scorer],
    test: PhotoSet,
    grid: list[Attack],
    attack_photos: int | None,
    seed: int,
    *,
    masking: bool = False,
) -> Report:
    """Evaluate several models on the same photos under the same attacks, with a progress bar.

    Args:
      scorers: by name; the first is the baseline.
      test: labelled photos.
      grid: attacks.
      attack_photos: how many photos are attacked, None for all.
      seed: of the attacks' random starts.
      masking: whether the model facts get "masking", the findings of attacks.masking by name.

    Returns:
      rows and per-image scores of all models; in the model facts also "parameters", and "test_seconds" for the
      "test_photos" of the accuracy, decoding and compilation included.
    """
    count = len(test) if attack_photos is None else min(attack_photos, len(test))
    chosen = np.linspace(0, len(test) - 1, count).astype(int)
    attacked = test.subset(chosen)
    reports, baseline = [], None
    with bar() as progress:
        task = progress.add_task("attacking", total=len(scorers) * len(grid) * count, note="")
        for name, scorer in scorers.items():
            load = resized(attacked, scorer.spec.input_size)
            images = np.stack([to_float(load(i)) for i in range(count)])
            began = time.perf_counter()
            predictions = predict(scorer, test)
            facts: dict[str, Any] = {
                "parameters": sum(leaf.size for leaf in jax.tree.leaves(scorer.variables["params"])),
                "test_seconds": time.perf_counter() - began,
                "test_photos": len(test),
            }
            baseline = predictions if baseline is None else baseline
            report = evaluate(
                scorer,
                images,
                mos=attacked.scores,
                attacks=grid,
                baseline=baseline,
                key=jax.random.key(seed),
                names=list(attacked.names),
                model=name,
                accuracy_pair=(predictions, test.scores),
                on_batch=lambda done, name=name: progress.update(task, advance=done, note=name),
            )
            if masking:
                ends = float(scorer.calibration.low), float(scorer.calibration.high)
                found = gradient_masking(scorer, jax.random.key(seed), images, score_range=ends)
                facts["masking"] = {check: dataclasses.asdict(finding) for check, finding in found.items()}
            report.models[name].update(facts)
            reports.append(report)
    return merge(reports)


def with_training_seconds(models: dict[str, Any], workdirs: dict[str, Path]) -> dict[str, Any]:
    """Model facts with "train_seconds", the seconds of the run's steps, for models whose folder has its log."""
    return {name: {**facts, "train_seconds": training_seconds(workdirs[name])} for name, facts in models.items()}
