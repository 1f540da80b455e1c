"""What callers may hand to an attack: images, keys, settings; anything else ends in one clear line.
Checks look at values only where there are any: inside a traced program shapes and types are all that is known."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

Images = Float[Array, "n h w c"]


def checked_images(images: Any) -> Images:
    """`images` as a float array (n, h, w, c) in [0,1]; values are not looked at inside a traced program.

    Raises:
      ValueError: unequal sizes, wrong rank, integer type, NaN, or values outside [0,1].
    """
    if isinstance(images, (list, tuple)):
        shapes = {np.shape(image) for image in images}
        if len(shapes) > 1:
            raise ValueError(
                f"attack: images of one size expected, got {sorted(shapes)}; resize them or attack each alone"
            )
    images = jnp.asarray(images)
    if images.ndim != 4:
        raise ValueError(f"attack: images of shape (n, height, width, channels) expected, got {images.shape}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"attack: float images in [0, 1] expected, got {images.dtype}; divide 8-bit images by 255")
    if not isinstance(images, Tracer):
        if bool(jnp.isnan(images).any()):
            raise ValueError("attack: images hold NaN; pixels must be numbers in [0, 1]")
        low, high = float(images.min()), float(images.max())
        if low < 0 or high > 1:
            raise ValueError(f"attack: pixels in [0, 1] expected, got {low:g} to {high:g}")
    return images


def example_keys(key: Array, count: int, first: Array | int = 0) -> Array:
    """One key an image: `key` folded with each index, counted from `first`, or the n keys given.

    Raises:
      ValueError: an array of keys of another length.
    """
    if key.ndim == 0:
        return jax.vmap(partial(jax.random.fold_in, key))(first + jnp.arange(count))
    if key.shape != (count,):
        raise ValueError(f"attack: one key or {count} keys (one an image) expected, got {key.shape}")
    return key


def check_positive(**settings: Any) -> None:
    """Raise ValueError, with its name, for a setting that is not above zero. Placeholders of jax.tree pass."""
    for name, value in settings.items():
        if isinstance(value, str):
            raise ValueError(f"attack: {name} must be a number above 0, got {value!r}")
        if _known(value) and not np.all(np.asarray(value) > 0):
            raise ValueError(f"attack: {name} must be above 0, got {value}")


def check_count(**settings: Any) -> None:
    """Raise ValueError, with its name, for a setting that is not a whole number above zero, see `check_positive`."""
    check_positive(**settings)
    for name, value in settings.items():
        if _known(value) and not np.issubdtype(np.asarray(value).dtype, np.integer):
            raise ValueError(f"attack: {name} must be a whole number, got {value}")


def check_choice(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """Raise ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"attack: unknown {name} {value!r}; choose one of {', '.join(map(str, allowed))}")


def _known(value: Any) -> bool:
    return isinstance(value, (int, float, np.ndarray, np.generic, jax.Array)) and not isinstance(value, Tracer)
