"""Accuracy and robustness of a score function on a set of images: per-image scores and the rows made from them.
Every gain is given on the model's own range, on the undefended baseline's range and in score points (sources.md 5)."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import check_some, example_keys
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.attacks.registry import as_attacks
from robust_iqa_jax.attacks.score_contract import check_scorer
from robust_iqa_jax.checks import checked_images, checked_scores
from robust_iqa_jax.evaluation.batches import even_batches
from robust_iqa_jax.evaluation.devices import Count, local_devices
from robust_iqa_jax.evaluation.pictures import Furthest
from robust_iqa_jax.evaluation.results import Cells, digest, kept
from robust_iqa_jax.functional.pytree_function import as_program
from robust_iqa_jax.metrics import accuracy
from robust_iqa_jax.metrics.on_scales import on_scales
from robust_iqa_jax.metrics.ranks import robust_srocc
from robust_iqa_jax.metrics.robustness import AreaOverEps, Scale, auc_over_eps
from robust_iqa_jax.metrics.scores import Scores
from robust_iqa_jax.models.scorer import Scorer

Row = dict[str, Any]

GAINS = ("abs_gain", "abs_gain_baseline_range", "abs_gain_raw", "rscore", "rscore_baseline_range")
"""Measures of a row that are integrated over eps."""


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """Results of one or more models. Equal to itself alone and hashed by identity: it holds lists and NaN.

    Attributes:
      rows: one a model, attack and eps.
      models: facts of each model: accuracy, clean score range, areas over eps and the grid of sizes they are taken on.
      per_image: one a model, attack, eps and image: image, clean, attacked, and mos where known.
      run: what can be told of how they were made: seed, batch size, devices, versions.
      pictures: of what the attacks added to the images that they moved furthest: image, model, attack, eps, amplified
        (how many times) and picture (a data URI), see `perturbation_pictures`.
    """

    rows: list[Row]
    models: dict[str, Row]
    per_image: list[Row]
    run: Row = field(default_factory=dict)
    pictures: list[Row] = field(default_factory=list)

    def __repr__(self) -> str:
        attacks = dict.fromkeys(str(row["attack"]) for row in self.rows)
        images = len({row["image"] for row in self.per_image})
        return f"Report({', '.join(self.models)} under {', '.join(attacks) or 'no attack'}; {images} images)"

    def write(self, folder: Path | str, title: str = "Robustness report") -> None:
        """report.json, report.md, per_image.csv, perturbations.json and tradeoff.png in `folder`."""
        from robust_iqa_jax.report.files import write_report

        write_report(folder, self, title=title)


def evaluate(
    scorer: ScoreFunction,
    images: Float[Array, "n h w c"] | Float[np.ndarray, "n h w c"],
    *,
    attacks: Sequence[Attack | str] | Attack | str,
    mos: Scores | None = None,
    baseline: ScoreFunction | Scores | None = None,
    key: Array | int | None = None,
    batch_size: int = 8,
    devices: Count = 1,
    names: Sequence[str] | None = None,
    model: str = "model",
    accuracy_pair: tuple[Scores, Scores] | None = None,
    cells: Cells | None = None,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Report:
    """Score and attack images.

    Args:
      scorer: images -> scores (n,), higher is better.
      images: float (n, h, w, c) in [0,1].
      attacks: what to run, one or several; each carries its eps. A name is one of attacks.registry, at its default.
      mos: (n,) opinion scores of the images.
      baseline: the undefended model, or its clean scores on these images: its range scales the headline. None: this
        model is its own baseline.
      key: of the attacks' random starts; image i uses fold_in(key, i) under every attack and in every model.
      batch_size: most images a call on each device; batches are evened out and the last one padded, so nothing compiles
        twice.
      devices: local devices that share each batch, or "all". Scores are those of one device to rounding.
      names: (n,) names of the images.
      model: name in the rows.
      accuracy_pair: (predictions, mos) of all clean photos where only some are attacked: accuracy and the model's own
        range come from them, and `baseline` should hold the baseline's predictions of the same photos.
      cells: where finished parts are kept and found again; a part is one attack on all images, or their clean scores.
      on_batch: called with the number of images after each attacked batch.

    Returns:
      rows, model facts, per-image scores.

    Raises:
      ValueError: bad images, attacks, keys or scores, lengths that differ, fewer than two images, more devices than
        there are.
    """
    if not callable(scorer):
        raise ValueError(f"evaluate: a function from images to scores expected, got {type(scorer).__name__}")
    images = checked_images(images, "evaluate")
    check_some(images, "evaluate")
    attacks = as_attacks(attacks)
    count = images.shape[0]
    if count < 2:
        raise ValueError("evaluate: one image spans no range of scores; give two or more")
    if batch_size < 1:
        raise ValueError(f"evaluate: batch_size must be 1 or more, got {batch_size}")
    if isinstance(baseline, (str, Path)):
        raise ValueError(f"evaluate: baseline must be a score function or scores, got {baseline!r}; load it first")
    names = [str(i) for i in range(count)] if names is None else list(names)
    for what, values in (("mos", mos), ("names", names)):
        if values is not None and len(values) != count:
            raise ValueError(f"evaluate: {len(values)} {what} for {count} images")
    mos = None if mos is None else _numbers(mos)
    keys = example_keys(jax.random.key(0) if key is None else key, count)
    placed = local_devices(devices)
    batches = even_batches(count, batch_size, placed.count)
    attacked_scorer = placed.copies(scorer.prepare() if isinstance(scorer, Scorer) else scorer)
    score = as_program(attacked_scorer)

    def content(scorer: ScoreFunction) -> str:
        return "" if cells is None else digest(scorer, images, len(batches[0]), placed.count)

    def over_batches(scores_of: Callable[[Array], Array | np.ndarray]) -> list[float]:
        return np.concatenate([np.asarray(scores_of(index), np.float64) for index in batches])[:count].tolist()

    def clean_scores(name: str, scorer: ScoreFunction, content: str) -> Scores:
        score = as_program(scorer)

        def of_batch(index: Array) -> Array:
            return checked_scores(score(placed.parts(images[index])), len(index), f"evaluate: {name}")

        def compute() -> list[float]:
            check_scorer(scorer, placed.parts(images[batches[0]]), f"evaluate: {name}")
            return over_batches(of_batch)

        return np.asarray(kept(cells, f"{name}, clean", compute, "clean", content), np.float64)

    def under_attack(attack: Attack, content: str, clean: Scores) -> dict[str, Any]:
        """Scores of all images, and pictures of what was added to those that it moved furthest."""
        furthest = Furthest(clean)

        def of_batch(index: Array) -> np.ndarray:
            adversarial = attack(attacked_scorer, placed.parts(keys[index]), placed.parts(images[index]))
            scores = np.asarray(checked_scores(score(adversarial), len(index), f"evaluate: {attack.name}"), np.float64)
            furthest.see(np.asarray(index), scores, np.asarray(images[index]), np.asarray(adversarial))
            on_batch(min(len(index), count - int(index[0])))
            return scores

        def compute() -> dict[str, Any]:
            return {"scores": over_batches(of_batch), "pictures": furthest.pictures()}

        depends_on = ("scores and pictures", attack, keys, content)
        if cells is not None and cells.has(*depends_on):
            on_batch(count)
        return kept(cells, f"{model}, {attack.name}, eps {attack.eps}", compute, *depends_on)

    own = content(scorer)
    clean = clean_scores(model, attacked_scorer, own)
    Scale.of(clean if accuracy_pair is None else accuracy_pair[0], "own")  # raises before the attacks, not after them
    if callable(baseline):
        baseline = clean_scores("baseline", placed.copies(baseline), content(baseline))
    parts = {
        (attack.name, None if attack.eps is None else float(attack.eps)): under_attack(attack, own, clean)
        for attack in attacks
    }
    attacked = {cell: np.asarray(part["scores"], np.float64) for cell, part in parts.items()}
    report = summarise(model, clean, attacked, names, mos=mos, baseline=baseline, accuracy_pair=accuracy_pair)
    pictures = [
        {"image": names[int(i)], "model": model, "attack": name, "eps": eps, **picture}
        for (name, eps), part in parts.items()
        for i, picture in part["pictures"].items()
    ]
    return dataclasses.replace(report, pictures=pictures)


def _numbers(mos: Any) -> Scores:
    try:
        return np.asarray(mos, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"evaluate: mos must be numbers, one an image ({error})") from error


def summarise(
    model: str,
    clean: Scores,
    attacked: dict[tuple[str, float | None], Scores],
    names: Sequence[str],
    *,
    mos: Scores | None = None,
    baseline: Scores | None = None,
    accuracy_pair: tuple[Scores, Scores] | None = None,
) -> Report:
    """The report of per-image scores, from wherever they come.

    Args:
      model: name.
      clean: (n,) scores of the clean images.
      attacked: (attack name, eps) -> (n,) scores under attack; eps is None for an attack without a ball.
      names, mos, baseline, accuracy_pair: as in `evaluate`; baseline as clean scores.
    """
    own = Scale.of(clean if accuracy_pair is None else accuracy_pair[0], "own")
    reference = own if baseline is None else Scale.of(baseline, "baseline")
    pair = accuracy_pair if accuracy_pair is not None or mos is None else (clean, mos)
    measures: Row = dict.fromkeys(("srocc", "plcc", "krocc", "rmse")) if pair is None else {**accuracy.summary(*pair)}
    rows, per_image = [], []
    for (attack, eps), scores in attacked.items():
        rows.append(
            {
                "model": model,
                **measures,
                "attack": attack,
                "eps": eps,
                **on_scales(clean, scores, own, reference),
                "srocc_under_attack": None if mos is None else robust_srocc(scores, mos),
                "n": len(clean),
            }
        )
        for i, name in enumerate(names):
            row = {"image": name, "model": model, "attack": attack, "eps": eps}
            row |= {"clean": float(clean[i]), "attacked": float(scores[i])}
            per_image.append(row if mos is None else {**row, "mos": float(mos[i])})
    area = areas(rows)
    facts = {
        **measures,
        "clean_low": own.low,
        "clean_high": own.high,
        "clean_range_of_baseline": (own.high - own.low) / (reference.high - reference.low),
        "auc": {attack: {name: a.value for name, a in of_attack.items()} for attack, of_attack in area.items()},
        "auc_grid": {attack: _grid(of_attack["abs_gain"]) for attack, of_attack in area.items()},
    }
    return Report(rows, {model: facts}, per_image)


def areas(rows: Sequence[Row]) -> dict[str, dict[str, AreaOverEps]]:
    """Attack -> area over eps of every gain measure of one model's rows; attacks with a single eps are left out."""
    result = {}
    for attack in dict.fromkeys(row["attack"] for row in rows):
        line = [row for row in rows if row["attack"] == attack and row["eps"] is not None]
        line.sort(key=lambda row: row["eps"])
        if len(line) > 1:
            eps = [row["eps"] for row in line]
            result[attack] = {name: auc_over_eps(eps, [row[name] for row in line]) for name in GAINS}
    return result


def merge(reports: Sequence[Report]) -> Report:
    """Several models' reports as one, in order.

    Raises:
      ValueError: two models of one name.
    """
    models: dict[str, Row] = {}
    for report in reports:
        if models.keys() & report.models.keys():
            raise ValueError(f"merge: two models named {sorted(models.keys() & report.models.keys())[0]!r}")
        models |= report.models
    rows, per_image, pictures = (
        [row for report in reports for row in getattr(report, name)] for name in ("rows", "per_image", "pictures")
    )
    return Report(rows, models, per_image, pictures=pictures)


def _grid(area: AreaOverEps) -> Row:
    return {"eps": list(area.eps), "spacing": area.spacing}
