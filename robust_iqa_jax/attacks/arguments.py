"""What callers may hand to an attack: images, keys, settings; anything else ends in one clear line.
Checks look at values only where there are any: inside a traced program shapes and types are all that is known."""

import dataclasses
from functools import cache, partial
from typing import Any, Literal, get_args, get_origin, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.checks import is_known

Images = Float[Array, "n h w c"]


def check_some(images: Images, who: str = "attack") -> None:
    """Raise ValueError for a batch without images, or images without pixels."""
    if not images.size:
        raise ValueError(f"{who}: one image or more expected, got shape {images.shape}")


def checked_keys(key: Any) -> Array:
    """One key or an array of keys, from what people have: jax.random.key(0), jax.random.PRNGKey(0), or the seed 0.

    Their reuse is meant (several attacks are compared under the same draws), so JAX's checker sees fresh keys.

    Raises:
      ValueError: anything else.
    """
    whole = isinstance(key, (int, np.integer)) and not isinstance(key, bool)
    if whole or (isinstance(key, jax.Array) and key.ndim == 0 and jnp.issubdtype(key.dtype, jnp.integer)):
        return jax.random.key(key)
    if isinstance(key, (jax.Array, np.ndarray)):
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            return jax.random.clone(key)
        words = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape
        if key.dtype == np.uint32 and key.shape[-1:] == words:
            return jax.random.wrap_key_data(jnp.asarray(key))
        got = f"{key.dtype} of shape {key.shape}"
    else:
        got = f"{type(key).__name__} {key!r:.40}"
    raise ValueError(f"attack: a key such as jax.random.key(0), or a whole number for its seed, expected, got {got}")


def single_key(key: Any) -> Array:
    """One key, from what `checked_keys` takes.

    Raises:
      ValueError: several keys, or none.
    """
    keys = checked_keys(key)
    if keys.ndim:
        raise ValueError(f"attack: one key expected, got {keys.shape}")
    return keys


def example_keys(key: Any, count: int, first: Array | int = 0) -> Array:
    """One key an image: `key` folded with each index, counted from `first`, or the n keys given.

    Args:
      key: what `checked_keys` takes.
      count: of images.
      first: index of the first one.

    Raises:
      ValueError: no key, or an array of keys of another length.
    """
    key = checked_keys(key)
    if key.ndim == 0:
        return jax.vmap(partial(jax.random.fold_in, key))(first + jnp.arange(count))
    if key.shape != (count,):
        raise ValueError(f"attack: one key or {count} keys (one an image) expected, got {key.shape}")
    return key


def check_positive(**settings: Any) -> None:
    """Raise ValueError, with its name, for a setting that is not above zero and finite. None and tracers pass."""
    for name, value in settings.items():
        if isinstance(value, str):
            raise ValueError(f"attack: {name} must be a number above 0, got {value!r}")
        if is_known(value) and not np.all(np.asarray(value) > 0):
            raise ValueError(f"attack: {name} must be above 0, got {value}")
        if is_known(value) and not np.all(np.isfinite(np.asarray(value, np.float64))):
            raise ValueError(f"attack: {name} must be finite, got {value}")


def check_count(**settings: Any) -> None:
    """Raise ValueError, with its name, for a setting that is not a whole number above zero, see `check_positive`."""
    check_positive(**settings)
    for name, value in settings.items():
        if is_known(value) and not np.issubdtype(np.asarray(value).dtype, np.integer):
            raise ValueError(f"attack: {name} must be a whole number, got {value}")


COUNTS = ("steps", "queries", "restarts", "searches", "samples", "batch", "epochs", "batch_size", "width", "pieces")
COUNTS += ("squares", "pixels", "side", "generations")
"""Names of settings that are whole numbers above zero, whatever the attack."""
POSITIVE = (
    "step_size",
    "learning_rate",
    "momentum",
    "weight",
    "tau",
    "score_range",
    "gain",
    "budget",
    "sigma",
    "share",
)
POSITIVE += ("rmse", "restoring_step", "quality")
"""Names of settings that are numbers above zero."""


def check_settings(settings: Any) -> None:
    """Check the fields of an attack by their names, which mean the same in all attacks, and names by their type.

    Raises:
      ValueError: a number that is not above zero, or not whole where it counts; a name that its Literal has not;
        restarts that would all repeat the same start.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name in COUNTS:
            check_count(**{field.name: value})
        elif field.name in POSITIVE:
            check_positive(**{field.name: value})
        elif choices := _choices(type(settings)).get(field.name):
            check_choice(field.name, value, choices)
    restarts = getattr(settings, "restarts", 1)
    if restarts > 1 and not getattr(settings, "random_start", True):
        raise ValueError(f"attack: {restarts} restarts need random starts; drop random_start=False")


@cache
def _choices(kind: type) -> dict[str, tuple[Any, ...]]:
    """Field -> what it may be, of those whose type is a Literal."""
    return {name: get_args(hint) for name, hint in get_type_hints(kind).items() if get_origin(hint) is Literal}


def check_choice(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """Raise ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"attack: unknown {name} {value!r}; choose one of {', '.join(map(str, allowed))}")
