"""`riqa.evaluate`: accuracy and robustness of score functions on a set of images, as a report.
Every gain is given on the model's own range, on the undefended baseline's range and in score points (sources.md 5)."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.attacks.registry import as_attacks
from robust_iqa_jax.devices import Count
from robust_iqa_jax.evaluation.evaluate import (
    OnBatch,
    PlacedModel,
    Setup,
    attacked_scores,
    clean_scores,
    masking_findings,
    place,
    score_range,
)
from robust_iqa_jax.evaluation.results import ResultFolder, versions
from robust_iqa_jax.metrics.robustness import Scale
from robust_iqa_jax.metrics.scores import Scores
from robust_iqa_jax.models.scorer import Scorer
from robust_iqa_jax.report.files import Report
from robust_iqa_jax.report.progress_line import ProgressLine
from robust_iqa_jax.report.summarise import merge, summarise
from robust_iqa_jax.report.types import AttackKind, Picture

Baseline = str | Mapping[str, str] | ScoreFunction | Scores | None


def evaluate(
    models: ScoreFunction | Mapping[str, ScoreFunction],
    images: Float[Array, "n h w c"] | Float[np.ndarray, "n h w c"],
    attacks: Sequence[Attack | str] | Attack | str,
    *,
    mos: Scores | None = None,
    baseline: Baseline = None,
    key: Array | int | None = None,
    batch_size: int = 8,
    devices: Count = 1,
    names: Sequence[str] | None = None,
    model: str = "model",
    accuracy_pair: tuple[Scores, Scores] | None = None,
    masking: bool = False,
    results: ResultFolder | Path | str | None = None,
    on_batch: OnBatch = lambda images: None,
    progress: bool = False,
) -> Report:
    """Score and attack images with one model or several.

    Args:
      models: images -> scores (n,), higher is better; several by name.
      images: float (n, h, w, c) in [0,1].
      attacks: what to run, one or several; each carries its eps. A name is one of attacks.registry, at its default.
      mos: (n,) opinion scores of the images.
      baseline: the undefended model, whose range scales the headline: the name of one of several, a name for each
        name, or for a single model a score function or its clean scores on these images. None: the first model.
      key: of the attacks' random starts; image i uses fold_in(key, i) under every attack and in every model.
      batch_size: most images a call on each device; batches are evened out and the last one padded, so nothing compiles
        twice.
      devices: local devices that share each batch, or "all". Scores are those of one device to rounding.
      names: (n,) names of the images.
      model: name in the rows, of a single one.
      accuracy_pair: (predictions, mos) of all clean photos where only some are attacked, of a single model: accuracy
        and its own range come from them, and `baseline` should hold the baseline's predictions of the same photos.
      masking: whether to check for masked gradients too, which takes far longer.
      results: folder of finished parts, which a repeated call with the same models, images and attacks does not
        compute again.
      on_batch: called with the number of images after each attacked batch.
      progress: whether to say on standard error how many images are attacked, as a line that grows no longer.

    Returns:
      rows, model facts, per-image scores.

    Raises:
      ValueError: bad images, attacks, keys or scores, lengths that differ, fewer than two images, more devices than
        there are, a baseline that is no model.
    """
    scorers = _by_name(models, model)
    attacks = as_attacks(attacks)
    if isinstance(results, (str, Path)):
        results = ResultFolder(results)
    setup = Setup.of(images, key, batch_size, devices, results, on_batch)
    if progress:
        counter = ProgressLine("evaluate", len(scorers) * len(attacks) * setup.count, on_batch)
        setup = dataclasses.replace(setup, on_batch=counter)
    names = [str(i) for i in range(setup.count)] if names is None else list(names)
    for what, values in (("mos", mos), ("names", names)):
        if values is not None and len(values) != setup.count:
            raise ValueError(f"evaluate: {len(values)} {what} for {setup.count} images")
    mos = None if mos is None else _numbers(mos)
    several = isinstance(models, Mapping)
    if several and accuracy_pair is not None:
        raise ValueError("evaluate: accuracy_pair is of a single model; evaluate each alone and merge the reports")
    baselines = _baseline_names(baseline, scorers) if several else {}

    placed = {name: place(setup, name, scorer) for name, scorer in scorers.items()}
    clean = {name: clean_scores(setup, each) for name, each in placed.items()}
    for scores in clean.values():  # raises before the attacks, not after them
        Scale.of(scores if accuracy_pair is None else accuracy_pair[0], "own")
    reports = []
    for name, scorer in scorers.items():
        reference = clean[baselines[name]] if several else _reference(setup, cast(Any, baseline))
        report = _attacked(setup, placed[name], attacks, clean[name], names, mos, reference, accuracy_pair)
        if several:
            report.models[name]["baseline"] = baselines[name]
        if several and isinstance(scorer, Scorer):
            report.models[name]["label"] = scorer.label
            report.models[name]["parameters"] = parameters(scorer)
        if masking:
            ends = score_range(scorer, clean[name])
            report.models[name]["masking"] = masking_findings(setup, placed[name], scorer, ends)
        reports.append(report)
    report = merge(reports)
    return dataclasses.replace(report, run=run_facts(key, batch_size, setup.devices.count)) if several else report


def parameters(scorer: Scorer) -> int:
    """How many numbers its training fits."""
    return sum(leaf.size for leaf in jax.tree.leaves(scorer.variables["params"]))


def run_facts(key: Any, batch_size: int, devices: int, **more: Any) -> dict[str, Any]:
    """What a report says of how it was made."""
    seed = {"seed": 0 if key is None else key} if key is None or isinstance(key, int) else {}
    return {**seed, "batch_size": batch_size, "devices": devices, **more, **versions()}


def _by_name(models: Any, model: str) -> dict[str, ScoreFunction]:
    scorers = dict(models) if isinstance(models, Mapping) else {model: models}
    if not scorers:
        raise ValueError("evaluate: no model; give a function from images to scores, or several by name")
    for scorer in scorers.values():
        if not callable(scorer):
            raise ValueError(f"evaluate: a function from images to scores expected, got {type(scorer).__name__}")
    return scorers


def _baseline_names(baseline: Any, scorers: Mapping[str, ScoreFunction]) -> dict[str, str]:
    """Model -> name of the one whose range scales its headline."""
    first = next(iter(scorers))
    if baseline is None or isinstance(baseline, str):
        result = dict.fromkeys(scorers, baseline or first)
    elif isinstance(baseline, Mapping):
        result = {name: baseline.get(name, first) for name in scorers}
    else:
        raise ValueError("evaluate: the baseline of several models is the name of one of them")
    if unknown := [name for name in result.values() if name not in scorers]:
        raise ValueError(f"evaluate: baseline {unknown[0]!r} is none of the models {', '.join(scorers)}")
    return result


def _reference(setup: Setup, baseline: ScoreFunction | Scores | str | Path | None) -> Scores | None:
    """Clean scores of a single model's baseline."""
    if isinstance(baseline, (str, Path)):
        raise ValueError(f"evaluate: baseline must be a score function or scores, got {baseline!r}; load it first")
    if baseline is None or isinstance(baseline, np.ndarray) or not callable(baseline):
        return cast(Scores | None, baseline)
    return clean_scores(setup, place(setup, "baseline", baseline))


def _attacked(
    setup: Setup,
    model: PlacedModel,
    attacks: Sequence[Attack],
    clean: Scores,
    names: Sequence[str],
    mos: Scores | None,
    baseline: Scores | None,
    accuracy_pair: tuple[Scores, Scores] | None,
) -> Report:
    """The report of one model."""
    cases = {(attack.name, None if attack.eps is None else float(attack.eps)): attack for attack in attacks}
    parts = {case: attacked_scores(setup, model, attack, clean) for case, attack in cases.items()}
    report = summarise(
        model.name, clean, {case: part.scores for case, part in parts.items()}, names,
        mos=mos, baseline=baseline, accuracy_pair=accuracy_pair,
        attacks={attack.name: AttackKind.of(attack) for attack in attacks},
    )  # fmt: skip
    pictures = [
        cast(Picture, {"image": names[int(i)], "model": model.name, "attack": name, "eps": eps, **picture})
        for (name, eps), part in parts.items()
        for i, picture in part.pictures.items()
    ]  # fmt: skip
    return dataclasses.replace(report, pictures=pictures)


def _numbers(mos: Any) -> Scores:
    try:
        return np.asarray(mos, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"evaluate: mos must be numbers, one an image ({error})") from error
