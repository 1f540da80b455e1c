"""The one loop that attacks with gradients run: gradient, step rule (an optax transform), projection; and what of its
iterates is kept."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ball import Perturbation
from robust_iqa_jax.attacks.objective import ScoreFunction

T = TypeVar("T")


class Result(NamedTuple):
    """What an attack gives, and what it learnt of the scores on its way.

    Attributes:
      images: adversarial.
      finite: (n,) bool, whether the score that an image's search began with is a number; None: no scores were asked.
      alive: (n,) bool, whether any gradient that an image followed had an entry that is finite and not zero; None: it
        followed none.
    """

    images: Images
    finite: Any = None
    alive: Any = None


def ascend(
    objective: ScoreFunction,
    images: Images,
    start: Perturbation,
    steps: Any,
    rule: optax.GradientTransformation,
    project: Callable[[Array], Array],
    *,
    keep_best: bool = False,
) -> Result:
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
      keep_best: return each image's strongest perturbation of all visited, the start included, instead of the last.
        Costs one more evaluation of the objective.

    Returns:
      perturbations (n, h, w, c) in place of images, not clipped to the image range; `finite` is of the values at the
      start.
    """
    value_and_gradient = jax.value_and_grad(lambda x: summed(objective(x)), has_aux=True)

    def step(i: Array, carry: tuple[Result, Any, Any]) -> tuple[Result, Any, Any]:
        (perturbation, finite, alive), state, best = carry
        (_, values), gradient = value_and_gradient(jnp.clip(images + perturbation, 0, 1))
        updates, state = rule.update(gradient, state, perturbation)
        best = stronger(best, (values, perturbation)) if keep_best else best
        finite, alive = jnp.where(i == 0, jnp.isfinite(values), finite), alive | has_direction(gradient)
        return Result(project(perturbation + cast(Array, updates)), finite, alive), state, best

    lowest = jnp.full(images.shape[0], -jnp.inf, images.dtype)
    best = (lowest, start) if keep_best else ()
    none = jnp.zeros(images.shape[0], bool)
    result, _, best = jax.lax.fori_loop(0, steps, step, (Result(start, ~none, none), rule.init(start), best))
    if not keep_best:
        return result
    last = (objective(jnp.clip(images + result.images, 0, 1)), result.images)
    return result._replace(images=stronger(best, last)[1])


def has_direction(gradient: Float[Array, "n ..."]) -> Bool[Array, " n"]:
    """Whether each image's gradient has an entry that is finite and not zero."""
    return ((gradient != 0) & jnp.isfinite(gradient)).reshape(gradient.shape[0], -1).any(1)


def stronger(one: tuple[Float[Array, " n"], T], other: tuple[Float[Array, " n"], T]) -> tuple[Float[Array, " n"], T]:
    """The better of two (objective values, images or what makes them) for each image; the first where they are equal.

    What goes with the values is a pytree of arrays whose first axis is the images'. A value that is not a number is the
    worst.
    """
    wins = (other[0] > one[0]) | (jnp.isnan(one[0]) & ~jnp.isnan(other[0]))
    values = jnp.where(wins, other[0], one[0]).astype(one[0].dtype)
    choose = lambda a, b: jnp.where(wins.reshape(-1, *[1] * (a.ndim - 1)), b, a)  # noqa: E731
    return values, jax.tree.map(choose, one[1], other[1])


def summed(values: Array) -> tuple[Array, Array]:
    """The sum, whose gradient holds that of each value, and the values beside it."""
    return values.sum(), values


def adam_ascent(learning_rate: Any) -> optax.GradientTransformation:
    """Step rule: Adam's direction, upwards."""
    return optax.chain(optax.scale_by_adam(), optax.scale(learning_rate))


def along(direction: Callable[[Array], Array], step_size: Any) -> optax.GradientTransformation:
    """Step rule: `step_size` along a direction of the gradient, such as a ball's steepest one."""
    return optax.stateless(lambda gradient, _: step_size * direction(cast(Array, gradient)))
