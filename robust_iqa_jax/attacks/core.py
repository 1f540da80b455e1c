"""What every attack on a score shares: the loop, the ball, per-example keys, argument checks, and one jitted entry.
An attack is an objective, a start, a step rule (an optax transform) and a projection; it sees score functions only."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jaxtyping import Array, Float

ScoreFunction = Callable[[Float[Array, "n h w c"]], Float[Array, " n"]]
Images = Float[Array, "n h w c"]


class Attack(Protocol):
    """An attack as evaluation sees it: called with (scorer, key, images), a name and a size."""

    @property
    def name(self) -> str:
        """Short name for tables, such as "pgd-8"."""
        ...

    @property
    def eps(self) -> Any:
        """Largest change of a pixel, in [0,1] units."""
        ...

    def __call__(self, scorer: ScoreFunction, key: Array, images: Images) -> Images:
        """Adversarial images of the same shape."""
        ...

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Images:
        """The attack itself: pure and traceable; one key an image."""
        ...


def launch(attack: Attack, scorer: ScoreFunction, key: Array, images: Any) -> Images:
    """Check the arguments and run `attack.perturb` as one jitted program.

    A scorer that is a pytree (such as models.Scorer) is traced: other weights reuse the program. A plain function is
    part of the program's identity: the same function object reuses it.

    Args:
      attack: registered pytree; its leaves are traced, so a sweep over sizes compiles once.
      scorer: images -> scores (n,), each score a function of its own image only.
      key: one key, folded with each image's index (so results do not depend on how a batch is spread over devices),
        or an array of n keys, one an image (so an image alone can repeat its result from a batch).
      images: float (n, h, w, c) in [0,1].

    Raises:
      ValueError: what is wrong with the images or the keys, in one line.
    """
    images = checked_images(images)
    keys = example_keys(key, images.shape[0])
    if jax.tree_util.all_leaves([scorer]):
        return _run_function(scorer, attack, keys, images)
    return _run_pytree(scorer, attack, keys, images)


@partial(jax.jit, static_argnums=0)
def _run_function(scorer: ScoreFunction, attack: Attack, keys: Array, images: Array) -> Array:
    return attack.perturb(scorer, keys, images)


@jax.jit
def _run_pytree(scorer: ScoreFunction, attack: Attack, keys: Array, images: Array) -> Array:
    return attack.perturb(scorer, keys, images)


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


def example_keys(key: Array, count: int) -> Array:
    """One key an image: `key` folded with each index, or the n keys given.

    Raises:
      ValueError: an array of keys of another length.
    """
    if key.ndim == 0:
        return jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(count))
    if key.shape != (count,):
        raise ValueError(f"attack: one key or {count} keys (one an image) expected, got {key.shape}")
    return key


def checked_positive(name: str, value: Any) -> None:
    """Raise ValueError unless a concrete `value` is above zero; traced values pass."""
    if not isinstance(value, Tracer) and not np.all(np.asarray(value) > 0):
        raise ValueError(f"attack: {name} must be above 0, got {value}")


def uniform_in_ball(keys: Array, images: Images, eps: Array) -> Images:
    """Perturbations drawn uniformly from the linf ball, each from its own key."""
    draw = partial(jax.random.uniform, shape=images.shape[1:], dtype=images.dtype, minval=-1.0, maxval=1.0)
    return jax.vmap(draw)(keys) * eps


def ascend(
    objective: ScoreFunction,
    images: Images,
    start: Images,
    steps: Any,
    rule: optax.GradientTransformation,
    project: Callable[[Array], Array],
) -> Images:
    """Perturbations that raise the objective: gradient, step rule, projection, `steps` times in one loop.

    The gradient is taken at the clipped image; scores of different images do not interact, so the gradient of their
    sum holds the gradient of each.

    Args:
      objective: images -> (n,), to be raised.
      images: clean, (n, h, w, c).
      start: perturbations to start from.
      steps: iterations, an int or a traced integer.
      rule: turns gradients into steps.
      project: applied to the perturbations after each step.

    Returns:
      perturbations (n, h, w, c), not clipped to the image range.
    """
    gradient = jax.grad(lambda x: objective(x).sum())

    def step(_: Array, carry: tuple[Array, Any]) -> tuple[Array, Any]:
        perturbation, state = carry
        updates, state = rule.update(gradient(jnp.clip(images + perturbation, 0, 1)), state, perturbation)
        return project(perturbation + cast(Array, updates)), state

    return jax.lax.fori_loop(0, steps, step, (start, rule.init(start)))[0]


def sign_step(size: Any) -> optax.GradientTransformation:
    """Step rule: `size` along the sign of the gradient."""
    return optax.stateless(lambda gradient, _: size * jnp.sign(cast(Array, gradient)))
