"""`riqa evaluate CHECKPOINT...`: accuracy and robustness of trained models on labelled photos, as a report folder.
Example: riqa evaluate runs/base runs/robust --data clive/scores.csv --test-group 0 --out runs/report
`riqa evaluate SUITE.py`: what a file's get_config() describes (evaluation.suite.SuiteConfig). A killed run goes on."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array

from robust_iqa_jax import attacks
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.masking import gradient_masking
from robust_iqa_jax.commands.config_file import load_config
from robust_iqa_jax.commands.progress import bar, out
from robust_iqa_jax.data.images import to_float
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.data.photo_set import PhotoSet, evenly_spread
from robust_iqa_jax.data.pipeline import resized
from robust_iqa_jax.evaluation.cells import Cells, digest, kept, versions
from robust_iqa_jax.evaluation.devices import Count, Devices, local_devices
from robust_iqa_jax.evaluation.evaluate import Report, evaluate, merge
from robust_iqa_jax.evaluation.parquet import require_pyarrow
from robust_iqa_jax.evaluation.report import summary, write_report
from robust_iqa_jax.evaluation.suite import DEFAULT_EPS, SuiteConfig, SuiteData
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.scorer import PreparedScorer, Scorer
from robust_iqa_jax.training.calibration import predict
from robust_iqa_jax.training.metrics_log import training_seconds


@dataclass(frozen=True)
class EvaluateArgs:
    """Evaluate checkpoints; the first is the undefended baseline whose score range scales the headline."""

    checkpoints: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Checkpoints or work folders; the last folder name is the model's name. Or one .py file with a suite, of which
    only --out, --devices and --parquet are options."""
    data: str = "distorted-photos"
    """Label table (CSV or .mat), folder of an unpacked archive, or the embedded set."""
    test_group: str = "test"
    """Value of the split or fold column that is evaluated on."""
    steps: tuple[int, ...] = (1, 8)
    """PGD iterations, one attack for each."""
    eps: tuple[float, ...] = DEFAULT_EPS
    """Attack sizes in [0,1] pixels."""
    suite: bool = False
    """Also attack with the strongest of several attacks, image by image, at every size; takes far longer."""
    masking: bool = False
    """Also check every model for masked gradients."""
    attack_photos: int | None = None
    """Photos attacked, evenly spaced over the group; all where not given. Accuracy is over all photos."""
    seed: int = 0
    devices: Count = 1
    """Local devices that share each batch, or all. A batch has up to 8 images (or what the suite says) on each."""
    parquet: bool = False
    """Write per_image.parquet beside per_image.csv; needs the extra "parquet"."""
    out: Path = Path("runs/report")
    """Folder for report.json, report.md, per_image.csv, tradeoff.png, perturbations.json (pictures of what was added to
    the images moved furthest), timings.json, and cells/ with the finished parts; a suite has such a folder for each of
    its data."""


def main(args: list[str]) -> int:
    """Run the command; its exit status."""
    parsed = tyro.cli(EvaluateArgs, args=args, prog="riqa evaluate", description=__doc__)
    if not parsed.checkpoints:
        raise ValueError("give at least one checkpoint, or a suite")
    local_devices(parsed.devices)  # what is not there is refused before anything is read
    if parsed.parquet:
        require_pyarrow()
    if parsed.checkpoints[0].suffix == ".py":
        return _suite(parsed)
    workdirs = {path.resolve().name: path for path in parsed.checkpoints}
    scorers = {name: checkpoint.load(path) for name, path in workdirs.items()}
    if len(scorers) < len(parsed.checkpoints):
        raise ValueError("two checkpoints have the same folder name; the names tell the models apart in the report")
    _, test = split_photos(open_photos(parsed.data), parsed.test_group)
    grid: list[Attack] = [attacks.pgd(eps=eps, steps=steps) for steps in parsed.steps for eps in parsed.eps]
    grid += [attacks.suite(eps=eps) for eps in parsed.eps] if parsed.suite else []
    report = evaluate_scorers(
        scorers,
        test,
        lambda _: grid,
        parsed.attack_photos,
        parsed.seed,
        masking=parsed.masking,
        cells=Cells(parsed.out / "cells"),
        devices=parsed.devices,
    )
    _write(parsed.out, report, workdirs, "riqa evaluate", parsed.parquet)
    return 0


def _suite(parsed: EvaluateArgs) -> int:
    """Run what is missing of a suite and write the report of each of its data."""
    file, *others = parsed.checkpoints
    if others:
        raise ValueError(f"{file}: a suite names its models itself; give no other checkpoint")
    own = EvaluateArgs((), out=parsed.out, devices=parsed.devices, parquet=parsed.parquet)
    if dataclasses.replace(parsed, checkpoints=()) != own:
        raise ValueError(f"{file}: a suite is set in its file; --out, --devices and --parquet are its only options")
    suite = load_config(str(file), SuiteConfig)
    scorers = {name: checkpoint.load(Path(folder)) for name, folder in suite.models.items()}
    for name, line in suite.data.items():
        rest, test = split_photos(open_photos(line.data), line.test_group)
        evaluate_suite(
            suite, scorers, line, rest, test, parsed.out / name, name, devices=parsed.devices, parquet=parsed.parquet
        )
    return 0


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

    def grid(scorer: Scorer | PreparedScorer) -> list[Attack]:
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
    _write(folder, report, {model: Path(path) for model, path in suite.models.items()}, title, parquet)


def evaluate_scorers(
    scorers: dict[str, Scorer],
    test: PhotoSet,
    attacks_on: Callable[[Scorer | PreparedScorer], list[Attack]],
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
      rows and per-image scores of all models; in the model facts also "baseline", "parameters", and "test_seconds" for
      the "test_photos" of the accuracy, decoding and compilation included.
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
    run = {"seed": seed, "batch_size": batch, "devices": placed.count, **versions()}
    return dataclasses.replace(merge(reports), run=run)


def with_training_seconds(models: dict[str, Any], workdirs: dict[str, Path]) -> dict[str, Any]:
    """Model facts with "train_seconds", the seconds of the run's steps, for models whose folder has its log."""
    return {name: {**facts, "train_seconds": training_seconds(workdirs[name])} for name, facts in models.items()}


def _write(folder: Path, report: Report, workdirs: dict[str, Path], title: str, parquet: bool) -> None:
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
