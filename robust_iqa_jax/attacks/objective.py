"""What an attack wants of the scores: raise them, lower them, push them across the middle, or disorder a batch.
Sources: MSU's benchmark (raise), norm-regularised training's L_mid (opposite, change); docs/sources.md 4.1."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images, check_choice

ScoreFunction = Callable[[Float[Array, "n h w c"]], Float[Array, " n"]]


@dataclass(frozen=True)
class Opposite:
    """Towards the other end of the scale: scores above `midpoint` are lowered, the others raised.

    `midpoint` is in score points; 50 is the middle of the 0..100 scales (NT, FGSM_demo.py, "L_mid").
    """

    midpoint: float = 50.0


Direction = Literal["raise", "lower", "opposite", "change", "invert", "reverse"] | Opposite
"""Which way scores are pushed:
"raise", "lower"; "opposite": Opposite(50);
"change": away from the clean score, to the side that the attack's start is on, upwards from the clean image itself;
"invert": against the order of the batch;
"reverse": to the clean scores of the batch in reverse order, the best image to the score of the worst.
In the last two an image's result depends on its neighbours."""

NAMES = ("raise", "lower", "opposite", "change", "invert", "reverse")
OF_BATCHES = ("invert", "reverse")
"""Those in which an image's result depends on the other images of its batch."""


def check_direction(direction: Direction) -> None:
    """Raise ValueError for a direction that does not exist."""
    if not isinstance(direction, Opposite):
        check_choice("direction", direction, NAMES)


def objective(scorer: ScoreFunction, images: Images, direction: Direction) -> ScoreFunction:
    """A function (n, h, w, c) -> (n,) whose rise is the attack's success; differentiable where the score is.

    Args:
      scorer: images -> scores (n,).
      images: clean images, scored once where the direction depends on their scores.
      direction: see Direction. "invert" weighs each score by minus the mean sign of its difference to the others:
        the sum over a batch is the mean amount by which clean pairs approach or exchange their order. "reverse" is
        minus the distance to a score that is aimed at: the two-stage attack on rank and error of Yang et al. 2024
        (arXiv 2404.13277), whose first stage searches the targets by gradients. Of all permutations of the clean scores
        the reversed one has rank correlation -1 and, by the rearrangement inequality, the largest mean square error,
        so here it is taken at once.
    """
    if direction == "raise":
        return scorer
    if direction == "lower":
        return lambda x: -scorer(x)
    clean = jax.lax.stop_gradient(scorer(images))
    if direction == "change":
        # not jnp.abs: at the clean image its slope is 0, and an attack would never leave. Nor a plain sign: another
        # program rounds the clean score otherwise, and what is left would decide between up and down.
        rounding = 128 * jnp.finfo(clean.dtype).eps * jnp.maximum(jnp.abs(clean), 1)

        def change(x: Array) -> Array:
            moved = scorer(x) - clean
            return jnp.where(moved < -rounding, -moved, moved)

        return change
    if direction == "reverse":
        aims = jnp.sort(clean)[::-1][jnp.argsort(jnp.argsort(clean))]
        return lambda x: -jnp.abs(scorer(x) - aims)
    if direction == "invert":
        weights = -jnp.sign(clean[:, None] - clean[None]).mean(1)
    else:
        midpoint = direction.midpoint if isinstance(direction, Opposite) else Opposite().midpoint
        weights = jnp.where(clean > midpoint, -1.0, 1.0).astype(clean.dtype)
    return lambda x: weights * scorer(x)
