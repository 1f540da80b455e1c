"""What attacks rely on in a score function: one finite float a photo, each a function of its own photo only.
Shapes and types are checked where a program is traced, values once a score function; ours."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.checks import checked_scores
from robust_iqa_jax.pytrees import as_program, as_pytree

SAME = 1e-4
"""Relative difference of two scores of one photo that rounding may make."""

_KEPT = 32
_looked_at: dict[Any, None] = {}
"""Structures of the score functions that were looked at last."""


def dependable(scorer: ScoreFunction) -> ScoreFunction:
    """The score function with its scores checked for shape and type, and derivatives by pixels that are finite.

    A derivative that is NaN or infinite counts as zero: it names no direction, and in a norm, a moment or a sum it
    would spoil the whole image. Half precision scores become float32.

    Raises:
      ValueError: on use, what `checks.checked_scores` refuses.
    """

    def scores(images: Images) -> Float[Array, " n"]:
        result = checked_scores(scorer(_with_finite_derivatives(images)), images.shape[0], "attack")
        return result.astype(jnp.promote_types(result.dtype, jnp.float32))

    return scores


def check_kind(scorer: ScoreFunction, images: Images) -> None:
    """Check the shape and type of scores that nobody asks for; a function that refuses these images is left alone.

    Raises:
      ValueError: what `checks.checked_scores` refuses.
    """

    def scores(images: Images) -> Array:
        try:
            result = scorer(images)
        except Exception:
            return images
        return checked_scores(result, images.shape[0], "attack")

    jax.eval_shape(scores, images)


def check_scorer(scorer: ScoreFunction, images: Images, who: str = "attack") -> None:
    """Score a batch once for every score function: each score must be finite, and a function of its own image.

    The first image is scored in its batch and in a batch of its copies, which takes one program and two runs of it.
    That is done at the first batch of two images or more; nothing is done inside a traced program, nor for images of
    several processes.

    Args:
      scorer: images -> (n,).
      images: a batch of the size that it will be called with.
      who: first word of a message.

    Raises:
      ValueError: what `checks.checked_scores` refuses.
    """
    tree = as_pytree(scorer)
    if any(isinstance(leaf, Tracer) for leaf in (images, *jax.tree.leaves(tree))):
        return
    kind = jax.tree.structure(tree)
    if images.shape[0] < 2 or not images.is_fully_addressable or kind in _looked_at:
        return
    score, count = as_program(scorer), images.shape[0]
    copies = jax.device_put(jnp.broadcast_to(images[:1], images.shape), images.sharding)
    together, alone = (checked_scores(score(batch), count, who)[0] for batch in (images, copies))
    if isinstance(together, Tracer):
        return  # the function closes over values of a traced program
    _looked_at[kind] = None
    if len(_looked_at) > _KEPT:
        del _looked_at[next(iter(_looked_at))]
    one, other = float(together), float(alone)
    if abs(one - other) > SAME * max(abs(one), abs(other)):
        warnings.warn(
            f"{who}: the score of an image depends on its batch ({one:.6g}, and {other:.6g} among copies of itself); "
            "attacks need each score to depend on its own image only: is a batch normalisation left in training mode?",
            stacklevel=3,
        )


def _with_finite_derivatives(images: Images) -> Images:
    # The one operation of JAX with a transpose of one's own that vmap and forward mode take too.
    def transposed(_: Any, cotangent: Array) -> Array:
        return jnp.where(jnp.isfinite(cotangent), cotangent, 0)

    return jax.lax.custom_linear_solve(lambda x: x, images, lambda _, x: x, transposed)
