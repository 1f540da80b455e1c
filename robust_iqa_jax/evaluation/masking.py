"""Signs that a model hides its gradients, so that a small gain under attack says nothing about robustness.
Athalye et al. 2018, "Obfuscated gradients" (arXiv 1802.00420), section 3.1; Carlini et al. 2019 (arXiv 1902.06705)."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from robust_iqa_jax.attacks.arguments import Images, check_choice, check_count, check_some, example_keys
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.noise import UniformNoise
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.attacks.pgd import PGD
from robust_iqa_jax.attacks.score_contract import check_scorer
from robust_iqa_jax.attacks.square import Square
from robust_iqa_jax.checks import check_eps, checked_images, checked_scores
from robust_iqa_jax.evaluation.batches import even_batches
from robust_iqa_jax.pytrees import as_program


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
      suspicious: whether it speaks for masked gradients.
      value: what was measured.
      limit: what it was compared with.
      meaning: what the two numbers are and when they are suspicious.
      source: where the check comes from.
    """

    suspicious: bool
    value: float
    limit: float
    meaning: str
    source: str


def gradient_masking(
    scorer: ScoreFunction,
    key: Any,
    images: Any,
    *,
    eps: float = 4 / 255,
    score_range: tuple[float, float] = (0.0, 100.0),
    baseline: ScoreFunction | None = None,
    direction: Literal["raise", "lower"] = "raise",
    steps: int = 20,
    queries: int = 500,
    chunk: int | None = None,
) -> dict[str, Finding]:
    """Check a score function for masked gradients; a clean sheet is no proof of robustness.

    All attacks are linf; gains are mean score points in the wanted direction. Some tens of images make the means
    steady.

    Args:
      scorer: images -> scores (n,), differentiable (if only in name).
      key: one key or its seed, or one an image.
      images: float (n, h, w, c) in [0,1].
      eps: size of the attacks, the one of the robustness claim.
      score_range: lowest and highest score that the model gives to photos, in score points.
      baseline: an undefended model whose adversarial images are tried on `scorer`; None leaves the check out.
      direction: "raise" or "lower".
      steps: iterations of the white-box attacks.
      queries: scores that the black-box attack asks for each image.
      chunk: images at a time, for memory; None: all at once.

    Returns:
      by name: "dead gradients", "flat loss surface", "one step beats many", "black box beats white box",
      "unbounded attack fails", and with a baseline "transfer beats white box".

    Raises:
      ValueError: what is wrong with the images, the keys or a setting, in one line.
    """
    images = checked_images(images)
    check_some(images)
    check_count(steps=steps, queries=queries)
    check_eps(eps)
    check_choice("direction", direction, ("raise", "lower"))
    low, high = score_range
    if not low < high:
        raise ValueError(f"attack: score_range as (lowest, highest) expected, got {score_range}")
    keys = example_keys(key, images.shape[0])
    sign, end = (1, high) if direction == "raise" else (-1, low)
    check_scorer(scorer, images[:chunk])
    ask = as_program(scorer)

    batches = even_batches(len(images), len(images) if chunk is None else chunk)

    def scores(images: Images) -> Float[np.ndarray, " n"]:
        parts = [checked_scores(ask(images[index]), len(index), "attack") for index in batches]
        return np.concatenate([np.asarray(part, np.float64) for part in parts])[: len(images)]

    def attacked(attack: Attack, target: ScoreFunction = scorer) -> Images:
        return attack(target, keys, images, chunk=chunk)

    clean = scores(images)

    def gain(adversarial: Images) -> float:
        return float(sign * (scores(adversarial) - clean).mean())

    white_box = partial(PGD, steps=steps, direction=direction, keep_best=True)
    with warnings.catch_warnings():
        # The findings say it: dead gradients by their share, and an eps of 1 is the unbounded attack's.
        warnings.filterwarnings("ignore", "attack: ")
        many = gain(attacked(white_box(eps)))
        one = gain(attacked(PGD(eps, 1, direction=direction, random_start=False)))
        asked = gain(attacked(Square(eps, queries, direction=direction)))
        noise = float(abs(scores(attacked(UniformNoise(eps, signs=True))) - clean).mean())
        unbounded = scores(attacked(white_box(1.0)))
        carried = None if baseline is None else gain(attacked(white_box(eps), baseline))
    reached = float((sign * (unbounded - end) >= 0).mean())
    dead = dead_gradients(scorer, images, batches)

    findings = {
        "dead gradients": Finding(
            dead > 0.5, dead, 0.5,
            "share of input gradients that are zero or not finite, against a half; skipped by a resize counts",
            "Athalye et al. 2018 (shattered and vanishing gradients)",
        ),
        "flat loss surface": Finding(
            one <= noise, one, noise,
            "gain of one step along the gradient's signs, against the mean change under random signs of the same size",
            "Carlini et al. 2019 (compare with random perturbations)",
        ),
        "one step beats many": Finding(
            one > many, one, many, f"gain of one step, against {steps} steps", "Athalye et al. 2018, 3.1"
        ),
        "black box beats white box": Finding(
            asked > many, asked, many, f"gain of {queries} queries without gradients, against {steps} steps with them",
            "Athalye et al. 2018, 3.1",
        ),
        "unbounded attack fails": Finding(
            reached < 1, reached, 1.0,
            f"share of images whose score reaches {end:g} when pixels may take any value, against all of them",
            "Athalye et al. 2018, 3.1",
        ),
    }  # fmt: skip
    if carried is not None:
        findings["transfer beats white box"] = Finding(
            carried > many, carried, many, "gain of the baseline's adversarial images, against the model's own",
            "Carlini et al. 2019 (transferability analysis)",
        )  # fmt: skip
    return findings


def dead_gradients(
    scorer: ScoreFunction, images: Images, batches: Sequence[Int[Array, " size"]] | None = None
) -> float:
    """Share of the scores' derivatives by pixels that are zero or not finite, 0 to 1.

    Args:
      scorer, images: as in `gradient_masking`.
      batches: indices of the images, of `even_batches`; None: all at once.
    """
    parts = even_batches(len(images), len(images)) if batches is None else batches
    gradient_of = jax.jit(jax.grad(lambda x: scorer(x).sum()))
    gradient = np.concatenate([np.asarray(gradient_of(images[index])) for index in parts])[: len(images)]
    return float(np.mean((gradient == 0) | ~np.isfinite(gradient)))
