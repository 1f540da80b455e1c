"""Scores of images, clean and under attack: in batches, over devices, with finished parts on disk.
What the scores mean `metrics` computes; rows and files are made in `report`."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import check_some, example_keys
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.attacks.score_contract import check_scorer
from robust_iqa_jax.checks import checked_images, checked_scores
from robust_iqa_jax.devices import Count, Devices, local_devices
from robust_iqa_jax.evaluation.batches import even_batches
from robust_iqa_jax.evaluation.masking import gradient_masking
from robust_iqa_jax.evaluation.pictures import Furthest
from robust_iqa_jax.evaluation.results import ResultFolder, cached, digest
from robust_iqa_jax.evaluation.source import code_digest
from robust_iqa_jax.metrics.scores import Scores
from robust_iqa_jax.models.scorer import Scorer
from robust_iqa_jax.pytrees import as_program

OnBatch = Callable[[int], None]

THIS_FILE = Path(__file__).read_text(encoding="utf-8")
"""Part of what names a finished part, as the code of the model and of the attack is."""


@dataclass(frozen=True, eq=False)
class Setup:
    """What an evaluation needs besides its models; make it with `Setup.of`.

    Attributes:
      images: (n, h, w, c) in [0,1].
      keys: (n,), of the attacks' random starts, the same under every attack and in every model.
      batches: indices of the images, in batches of one size.
      devices: that share each batch.
      results: where finished parts are stored; a part is one attack on all images, or their clean scores.
      on_batch: called with the number of images after each attacked batch.
    """

    images: Float[Array, "n h w c"]
    keys: Array
    batches: Sequence[Array]
    devices: Devices
    results: ResultFolder | None = None
    on_batch: OnBatch = lambda images: None

    @classmethod
    def of(
        cls, images: Any, key: Any, batch_size: int, devices: Count, results: ResultFolder | None, on_batch: OnBatch
    ) -> "Setup":
        """Of images and the settings of `report.evaluate`.

        Raises:
          ValueError: bad images or keys, fewer than two images, no batch, more devices than there are.
        """
        images = checked_images(images, "evaluate")
        check_some(images, "evaluate")
        count = images.shape[0]
        if count < 2:
            raise ValueError("evaluate: one image spans no range of scores; give two or more")
        if batch_size < 1:
            raise ValueError(f"evaluate: batch_size must be 1 or more, got {batch_size}")
        keys = example_keys(jax.random.key(0) if key is None else key, count)
        placed = local_devices(devices)
        return cls(images, keys, even_batches(count, batch_size, placed.count), placed, results, on_batch)

    @property
    def count(self) -> int:
        """How many images there are."""
        return self.images.shape[0]

    def over_batches(self, scores_of: Callable[[Array], Array | np.ndarray]) -> list[float]:
        """Scores of all images from a function of a batch's indices; what fills up the last batch is cut off."""
        parts = [np.asarray(scores_of(index), np.float64) for index in self.batches]
        return np.concatenate(parts)[: self.count].tolist()


@dataclass(frozen=True, eq=False)
class PlacedModel:
    """A score function as it is evaluated.

    Attributes:
      name: in labels and messages.
      scorer: prepared for its weights, a copy on every device.
      content: digest of the model, the images and the batches; empty where nothing is stored.
    """

    name: str
    scorer: ScoreFunction
    content: str


@dataclass(frozen=True)
class AttackResult:
    """Scores of all images under one attack, and pictures of what it added to those that it moved furthest, by their
    places as text."""

    scores: Scores
    pictures: dict[str, dict[str, Any]]


def place(setup: Setup, name: str, scorer: ScoreFunction) -> PlacedModel:
    """A model on the devices of an evaluation."""
    content = ""
    if setup.results is not None:
        content = digest(THIS_FILE, scorer, setup.images, len(setup.batches[0]), setup.devices.count)
    return PlacedModel(name, setup.devices.copies(_prepared(scorer)), content)


def clean_scores(setup: Setup, model: PlacedModel) -> Scores:
    """(n,) scores of the images as they are.

    Raises:
      ValueError: scores that are no scores.
    """
    score, devices, who = as_program(model.scorer), setup.devices, f"evaluate: {model.name}"

    def of_batch(index: Array) -> Array:
        return checked_scores(score(devices.parts(setup.images[index])), len(index), who)

    def compute() -> list[float]:
        check_scorer(model.scorer, devices.parts(setup.images[setup.batches[0]]), who)
        return setup.over_batches(of_batch)

    return np.asarray(cached(setup.results, f"{model.name}, clean", compute, "clean", model.content), np.float64)


def attacked_scores(setup: Setup, model: PlacedModel, attack: Attack, clean: Scores) -> AttackResult:
    """Scores of the images under an attack.

    Args:
      setup, model: from `Setup.of` and `place`.
      attack: to run.
      clean: (n,) from `clean_scores`.

    Raises:
      ValueError: scores that are no scores, whatever the attack refuses.
    """
    score, parts = as_program(model.scorer), setup.devices.parts
    furthest = Furthest(clean)

    def of_batch(index: Array) -> np.ndarray:
        images = setup.images[index]
        adversarial = attack(model.scorer, parts(setup.keys[index]), parts(images))
        scores = np.asarray(checked_scores(score(adversarial), len(index), f"evaluate: {attack.name}"), np.float64)
        furthest.see(np.asarray(index), scores, np.asarray(images), np.asarray(adversarial))
        setup.on_batch(min(len(index), setup.count - int(index[0])))
        return scores

    def compute() -> dict[str, Any]:
        return {"scores": setup.over_batches(of_batch), "pictures": furthest.pictures()}

    depends_on = ("scores and pictures", attack, setup.keys, model.content)
    if setup.results is not None and setup.results.has(*depends_on):
        setup.on_batch(setup.count)
    part = cached(setup.results, f"{model.name}, {attack.name}, eps {attack.eps}", compute, *depends_on)
    return AttackResult(np.asarray(part["scores"], np.float64), part["pictures"])


def masking_findings(
    setup: Setup, model: PlacedModel, scorer: ScoreFunction, ends: tuple[float, float]
) -> dict[str, dict[str, Any]]:
    """Findings of the checks for masked gradients by name, see `gradient_masking`; on one device.

    Args:
      setup, model: from `Setup.of` and `place`.
      scorer: the model's.
      ends: lowest and highest score that the model gives to photos.
    """

    def compute() -> dict[str, dict[str, Any]]:
        chunk = len(setup.batches[0])
        findings = gradient_masking(_prepared(scorer), setup.keys, setup.images, score_range=ends, chunk=chunk)
        return {check: dataclasses.asdict(finding) for check, finding in findings.items()}

    depends_on = ("masking", code_digest(gradient_masking.__module__), setup.keys, model.content, ends)
    return cached(setup.results, f"{model.name}, masking", compute, *depends_on)


def score_range(scorer: ScoreFunction, clean: Scores) -> tuple[float, float]:
    """Ends of a model's scale: those that it knows, or of its clean scores."""
    known = getattr(scorer, "score_range", None)
    return (float(clean.min()), float(clean.max())) if known is None else known


def _prepared(scorer: ScoreFunction) -> ScoreFunction:
    return scorer.prepare() if isinstance(scorer, Scorer) else scorer
