"""Runs evaluations for the commands that do: models on photos under attacks, with a progress bar, to a report folder.
Apart from evaluate.py, whose arguments are to be checked before all that this imports."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.masking import gradient_masking
from robust_iqa_jax.commands.progress import bar, out
from robust_iqa_jax.data.images import to_float
from robust_iqa_jax.data.photo_set import PhotoSet, evenly_spread
from robust_iqa_jax.data.pipeline import resized
from robust_iqa_jax.evaluation.devices import Count, Devices, local_devices
from robust_iqa_jax.evaluation.evaluate import Report, evaluate, merge
from robust_iqa_jax.evaluation.results import Cells, digest, kept, versions
from robust_iqa_jax.evaluation.suite import SuiteConfig, SuiteData
from robust_iqa_jax.models.scorer import AnyScorer, Scorer
from robust_iqa_jax.report.files import summary, write_report
from robust_iqa_jax.training.calibration import predict
from robust_iqa_jax.training.metrics_log import training_seconds


def evaluate_suite(
    suite: SuiteConfig,
    scorers: dict[str, Scorer],
    line: SuiteData,
    rest: PhotoSet,
    test: PhotoSet,
    folder: Path,
    title: str,
    *,
    devices: Count = 1,
    parquet: bool = False,
) -> None:
    """Run what is missing of a suite on one of its data, and write the report.

    Args:
      suite: models, attacks, seed.
      scorers: the suite's models, by name.
      line: of the suite's data.
      rest, test: its photos; universal attacks are fitted on some of the first, the second are evaluated on.
      folder: of the report; finished parts lie in cells/ there.
      title: of the report.
      devices: local ones that share each batch.
      parquet: write per_image.parquet too.
    """
    fit = rest.subset(evenly_spread(len(rest), line.fit_photos)) if line.fit_photos else None
    cells = Cells(folder / "cells")

    def grid(scorer: AnyScorer) -> list[Attack]:
        photos = None if fit is None else jnp.asarray(_pixels(fit, scorer.spec.input_size))
        key = jax.random.fold_in(jax.random.key(suite.seed), 1)
        return [attack for row in suite.attacks for attack in row.on(scorer, key, photos, cells)]

    report = evaluate_scorers(
        scorers,
        test,
        grid,
        line.attack_photos,
        suite.seed,
        baselines=suite.baselines,
        cells=cells,
        batch=suite.batch_size,
        devices=devices,
    )
    write_evaluation(folder, report, {model: Path(path) for model, path in suite.models.items()}, title, parquet)


def evaluate_scorers(
    scorers: dict[str, Scorer],
    test: PhotoSet,
    attacks_on: Callable[[AnyScorer], list[Attack]],
    attack_photos: int | None,
    seed: int,
    *,
    baselines: Mapping[str, str] | None = None,
    masking: bool = False,
    cells: Cells | None = None,
    batch: int = 8,
    devices: Count = 1,
) -> Report:
    """Evaluate several models on the same photos under the same attacks, with a progress bar.

    Args:
      scorers: by name.
      test: labelled photos.
      attacks_on: scorer -> attacks, as many for each.
      attack_photos: how many photos are attacked, None for all.
      seed: of the attacks' random starts.
      baselines: name -> the undefended model whose range scales its headline; the first model where not given.
      masking: whether the model facts get "masking", the findings of attacks.masking by name.
      cells: where finished parts are kept.
      batch: most images a call on a device.
      devices: local ones that share each batch, or "all".

    Returns:
      rows and per-image scores of all models; in the model facts also "baseline", "label", "parameters", and
      "test_seconds" for the "test_photos" of the accuracy, decoding and compilation included.
    """
    attacked = test.subset(evenly_spread(len(test), attack_photos))
    placed = local_devices(devices)
    content = "" if cells is None else _content(test)
    reports, first = [], next(iter(scorers))
    with bar() as progress:
        task = progress.add_task("attacking", total=None, note="")
        predictions = {
            name: _predictions(name, scorer, test, cells, content, placed) for name, scorer in scorers.items()
        }
        for name, scorer in scorers.items():
            grid = attacks_on(scorer.prepare())
            progress.update(task, total=len(scorers) * len(grid) * len(attacked))
            images = _pixels(attacked, scorer.spec.input_size)
            (scores, seconds), baseline = predictions[name], (baselines or {}).get(name, first)
            facts: dict[str, Any] = {
                "baseline": baseline,
                "label": scorer.label,
                "parameters": sum(leaf.size for leaf in jax.tree.leaves(scorer.variables["params"])),
                "test_seconds": seconds,
                "test_photos": len(test),
            }
            report = evaluate(
                scorer,
                images,
                mos=attacked.scores,
                attacks=grid,
                baseline=predictions[baseline][0],
                key=jax.random.key(seed),
                batch_size=batch,
                devices=devices,
                names=list(attacked.names),
                model=name,
                accuracy_pair=(scores, test.scores),
                cells=cells,
                on_batch=lambda done, name=name: progress.update(task, advance=done, note=name),
            )
            if masking:
                facts["masking"] = _masking(name, scorer, images, jax.random.key(seed), cells)
            report.models[name].update(facts)
            reports.append(report)
    run = {"seed": seed, "batch_size": batch, "devices": placed.count, "labels": test.label, **versions()}
    return dataclasses.replace(merge(reports), run=run)


def with_training_seconds(models: dict[str, Any], workdirs: dict[str, Path]) -> dict[str, Any]:
    """Model facts with "train_seconds", the seconds of the run's steps, for models whose folder has its log."""
    return {name: {**facts, "train_seconds": training_seconds(workdirs[name])} for name, facts in models.items()}


def write_evaluation(folder: Path, report: Report, workdirs: dict[str, Path], title: str, parquet: bool) -> None:
    """Write the report folder of an evaluation and print its summary."""
    report = dataclasses.replace(report, models=with_training_seconds(report.models, workdirs))
    write_report(folder, report, title=title, parquet=parquet)
    out.print(summary(report), markup=False)
    out.print(f"next: riqa report {folder}", markup=False)


def _pixels(photos: PhotoSet, size: tuple[int, int]) -> np.ndarray:
    load = resized(photos, size)
    return np.stack([to_float(load(i)) for i in range(len(photos))])


def _predictions(
    model: str, scorer: Scorer, test: PhotoSet, cells: Cells | None, content: str, placed: Devices
) -> tuple[np.ndarray, float]:
    """Scores of all test photos and the seconds that they took, from the finished parts where they are there."""

    def compute() -> dict[str, Any]:
        began = time.perf_counter()
        scores = predict(scorer, test, placed=placed).tolist()
        return {"scores": scores, "seconds": time.perf_counter() - began}

    found = kept(cells, f"{model}, all photos", compute, "all photos", scorer, content, placed.count)
    return np.asarray(found["scores"], np.float64), found["seconds"]


def _masking(
    model: str, scorer: Scorer, images: np.ndarray, key: Array, cells: Cells | None
) -> dict[str, dict[str, Any]]:
    """Findings of the checks for masked gradients by name."""

    def compute() -> dict[str, dict[str, Any]]:
        ends = float(scorer.calibration.low), float(scorer.calibration.high)
        found = gradient_masking(scorer.prepare(), key, images, score_range=ends)
        return {check: dataclasses.asdict(finding) for check, finding in found.items()}

    return kept(cells, f"{model}, masking", compute, "masking", scorer, images, key)


def _content(photos: PhotoSet) -> str:
    """A name that changes with any pixel."""
    return digest(*(digest(photos.load(i)) for i in range(len(photos))))
