"""Checks of what callers hand over, shared by scorers, attacks, evaluation and commands: pixels, scores, eps, names.
Values are looked at only where there are any: inside a traced program shapes and types are all that is known."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from robust_iqa_jax.wording import eps_text, parse_eps, unknown

__all__ = [
    "LARGE_EPS",
    "check_eps",
    "checked_images",
    "checked_scores",
    "eps_text",
    "is_known",
    "parse_eps",
    "unknown",
]

LARGE_EPS = 32 / 255
"""Above this an l-infinity eps is more likely n where n/255 was meant than what somebody wanted."""


def checked_images(images: Any, who: str = "attack") -> Float[Array, "n h w c"]:
    """`images` as a float array (n, h, w, c) in [0,1]; half precision (bfloat16, float16) becomes float32.

    Args:
      images: an array, or a list of images of one size.
      who: first word of a message.

    Raises:
      ValueError: unequal sizes, wrong rank, integer type, NaN, or values outside [0,1].
    """
    if isinstance(images, (list, tuple)):
        shapes = {np.shape(image) for image in images}
        if len(shapes) > 1:
            raise ValueError(
                f"{who}: images of one size expected, got {sorted(shapes)}; resize them or take each alone"
            )
    try:
        images = jnp.asarray(images)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{who}: an array of images expected, got {type(images).__name__}") from error
    if images.ndim == 3:
        raise ValueError(
            f"{who}: shape (n, height, width, channels) expected, got {images.shape}; for one image write image[None]"
        )
    if images.ndim != 4:
        raise ValueError(f"{who}: images of shape (n, height, width, channels) expected, got {images.shape}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"{who}: float images in [0, 1] expected, got {images.dtype}; divide 8-bit images by 255")
    if jnp.finfo(images.dtype).bits < 32:
        images = images.astype(jnp.float32)
    if images.size and not isinstance(images, Tracer):
        with jax.ensure_compile_time_eval():  # a constant inside a traced program has values too
            low, high = float(images.min()), float(images.max())
        if np.isnan(low) or np.isnan(high):
            raise ValueError(f"{who}: images hold NaN; pixels must be numbers in [0, 1]")
        if low < 0 or high > 1:
            cure = "; divide 8-bit values by 255" if low >= 0 and 2 < high <= 255 else ""
            raise ValueError(f"{who}: pixels in [0, 1] expected, got {low:g} to {high:g}{cure}")
    return images


def checked_scores(scores: Any, count: int, who: str = "scorer") -> Float[Array, " n"]:
    """What a score function returned, as a float array (count,).

    Args:
      scores: its return value.
      count: how many images it was given.
      who: first word of a message.

    Raises:
      ValueError: not one array, another shape, integers, or (outside traced programs) NaN or infinity.
    """
    want = f"{who}: a score function must return one float a photo, an array of shape ({count},)"
    if isinstance(scores, (list, tuple, dict)):
        raise ValueError(f"{want}; got a {type(scores).__name__}")
    try:
        scores = jnp.asarray(scores)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{want}; got {type(scores).__name__}") from error
    if scores.shape != (count,):
        cure = "; take [:, 0] of it" if scores.shape == (count, 1) else ""
        raise ValueError(f"{want}; got shape {scores.shape}{cure}")
    if not jnp.issubdtype(scores.dtype, jnp.floating):
        raise ValueError(f"{want}; got {scores.dtype}")
    if not isinstance(scores, Tracer):
        values = np.asarray(scores)  # numpy's, because jax.numpy's answers would be traced ones inside a program
        if not np.isfinite(values).all():
            broken = int(np.argmin(np.isfinite(values)))
            raise ValueError(f"{want}; the score of image {broken} is {float(values[broken])}")
    return scores


def check_eps(eps: Any, norm: str = "linf", who: str = "attack") -> None:
    """Raise ValueError for an eps that is not above 0 and finite, or, for linf, above 1 (all pixels are in [0,1]).

    Warns above 32/255 for linf: n is easily given where n/255 is meant. Placeholders of jax.tree and tracers pass.
    """
    if isinstance(eps, str):
        raise ValueError(f"{who}: eps must be a number such as 4/255, got {eps!r}; parse_eps reads text")
    if callable(eps):
        raise ValueError(f"{who}: eps must be a number such as 4/255, got a function; call the attack with it instead")
    if not is_known(eps):
        return
    values = np.asarray(eps, np.float64)
    if not (np.all(values > 0) and np.all(np.isfinite(values))):
        raise ValueError(f"{who}: eps must be above 0 and finite, got {eps}")
    if norm == "linf" and np.any(values > 1):
        raise ValueError(f"{who}: eps is in [0, 1] pixel units, got {eps}; did you mean {eps}/255?")
    if norm == "linf" and np.any(values > LARGE_EPS):
        warnings.warn(
            f"{who}: eps {eps_text(float(values.max()))} is far more than is usual; did you mean 4/255?",
            stacklevel=4,  # the line that makes an attack, behind its __post_init__ and __init__
        )


def is_known(value: Any) -> bool:
    """Whether a setting has a value that can be looked at: not a tracer, nor a placeholder of jax.tree."""
    return isinstance(value, (int, float, np.ndarray, np.generic, jax.Array)) and not isinstance(value, Tracer)
