"""Random restarts: an attack runs from several random starts, and each image keeps its strongest result.
As PGD (Madry et al. 2018, arXiv 1706.06083) and APGD (Croce & Hein 2020, arXiv 2003.01690) are run."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, stronger
from robust_iqa_jax.attacks.objective import ScoreFunction


def strongest(
    attempt: Callable[[Array], Result], target: ScoreFunction, keys: Array, images: Images, restarts: int
) -> Result:
    """Each image's result with the highest objective among `restarts` attempts.

    Args:
      attempt: keys (n,) -> what came of a start drawn with the keys; by gradients.
      target: objective, images -> (n,).
      keys: of the first attempt, which is therefore that of restarts=1: more restarts never give less.
      images: clean, (n, h, w, c).
      restarts: attempts, >= 1; run one after another, in the memory of one.
    """
    if restarts == 1:
        return attempt(keys)

    def again(best: tuple[Array, Array], keys: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        result = attempt(keys)
        return stronger(best, (target(result.images), result.images)), (result.finite, result.alive)

    fold = jax.vmap(jax.vmap(jax.random.fold_in, (0, None)), (None, 0))
    first = jax.random.clone(keys)[None]  # used as they are, beside what is folded from them
    all_keys = jnp.concatenate([first, fold(keys, jnp.arange(1, restarts))])
    lowest = jnp.full(images.shape[0], -jnp.inf, images.dtype)
    (_, strongest_images), (finite, alive) = jax.lax.scan(again, (lowest, images), all_keys)
    return Result(strongest_images, finite.all(0), alive.any(0))
