"""What every attack on a score shares: the configured attack as a pytree, one jitted entry, and one ascent loop.
An attack is an objective, a start, a step rule (an optax transform) and a projection; it sees score functions only."""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Self, TypeVar, cast, dataclass_transform

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images, check_count, checked_images, example_keys
from robust_iqa_jax.attacks.ball import Perturbation
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.functional.pytree_function import as_pytree

T = TypeVar("T")


class Attack:
    """A configured attack, called with (scorer, key, images); a pytree whose numbers are traced.

    Subclasses are frozen dataclasses made by `traced`, with `perturb` and `name`.

    Attributes:
      eps: largest change of a pixel in [0,1] units (or length, for an l2 ball); None where the attack has no ball.
      couples: True where an image's result depends on the other images of its batch.
    """

    eps: Any = None

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name for tables, such as "pgd-8"; without eps."""

    @property
    def couples(self) -> bool:
        """Whether an image's result depends on the other images of its batch."""
        return getattr(self, "direction", None) == "invert"

    @abstractmethod
    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Images:
        """The attack itself: pure and traceable; one key an image."""

    def __call__(self, scorer: ScoreFunction, key: Array, images: Any, *, chunk: int | None = None) -> Images:
        """Adversarial images, as one jitted program: same shape and type, in [0,1], inside the attack's ball.

        A scorer that is a pytree (such as models.Scorer) is traced: other weights reuse the program. A plain function
        is part of the program's identity: the same function object reuses it. Images that are spread over devices
        stay so.

        Args:
          scorer: images -> scores (n,), each score a function of its own image only.
          key: one key, folded with each image's index (so results do not depend on how a batch is spread over
            devices), or an array of n keys, one an image (so an image alone can repeat its result from a batch).
          images: float (n, h, w, c) in [0,1].
          chunk: images attacked at a time, for memory; None: all at once.

        Raises:
          ValueError: what is wrong with the images, the keys or the chunk, in one line.
        """
        images = checked_images(images)
        keys = example_keys(key, images.shape[0])
        if chunk is not None:
            check_count(chunk=chunk)
            if self.couples:
                raise ValueError(f"attack: {self.name} looks at a batch as a whole and cannot run in chunks of {chunk}")
        return _run(as_pytree(scorer), chunk, self, keys, images)

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed."""
        return dataclasses.replace(cast(Any, self), **changes)


@dataclass_transform(frozen_default=True)
def traced(*numbers: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: a frozen dataclass registered as a pytree.

    Args:
      numbers: fields that are leaves. A sweep over them compiles once; the other fields are part of the program.
    """

    def register(attack: type[T]) -> type[T]:
        made = dataclasses.dataclass(frozen=True)(attack)
        rest = [field.name for field in dataclasses.fields(cast(Any, made)) if field.name not in numbers]
        return jax.tree_util.register_dataclass(made, data_fields=numbers, meta_fields=rest)

    return register


@partial(jax.jit, static_argnums=1)
def _run(scorer: ScoreFunction, chunk: int | None, attack: Attack, keys: Array, images: Array) -> Array:
    count = images.shape[0]
    if chunk is None or chunk >= count:
        return attack.perturb(scorer, keys, images)
    index = jnp.minimum(jnp.arange(-(-count // chunk) * chunk), count - 1)  # the last chunk repeats the last image
    parts = jax.tree.map(lambda a: a[index].reshape(-1, chunk, *a.shape[1:]), (keys, images))
    result = jax.lax.map(lambda part: attack.perturb(scorer, *part), parts)
    return result.reshape(-1, *images.shape[1:])[:count]


def ascend(
    objective: ScoreFunction,
    images: Images,
    start: Perturbation,
    steps: Any,
    rule: optax.GradientTransformation,
    project: Callable[[Array], Array],
    *,
    keep_best: bool = False,
) -> Perturbation:
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
      perturbations (n, h, w, c), not clipped to the image range.
    """
    value_and_gradient = jax.value_and_grad(lambda x: _summed(objective(x)), has_aux=True)

    def step(_: Array, carry: tuple[Array, Any, Any]) -> tuple[Array, Any, Any]:
        perturbation, state, best = carry
        (_, values), gradient = value_and_gradient(jnp.clip(images + perturbation, 0, 1))
        updates, state = rule.update(gradient, state, perturbation)
        best = stronger(best, (values, perturbation)) if keep_best else best
        return project(perturbation + cast(Array, updates)), state, best

    lowest = jnp.full(images.shape[0], -jnp.inf, images.dtype)
    best = (lowest, start) if keep_best else ()
    last, _, best = jax.lax.fori_loop(0, steps, step, (start, rule.init(start), best))
    if not keep_best:
        return last
    return stronger(best, (objective(jnp.clip(images + last, 0, 1)), last))[1]


def stronger(
    one: tuple[Float[Array, " n"], Array], other: tuple[Float[Array, " n"], Array]
) -> tuple[Float[Array, " n"], Array]:
    """The better of two (objective values, images or perturbations) for each image; the first where they are equal."""
    wins = other[0] > one[0]
    values = jnp.where(wins, other[0], one[0]).astype(one[0].dtype)
    return values, jnp.where(wins[:, None, None, None], other[1], one[1])


def _summed(values: Array) -> tuple[Array, Array]:
    return values.sum(), values


def adam_ascent(learning_rate: Any) -> optax.GradientTransformation:
    """Step rule: Adam's direction, upwards."""
    return optax.chain(optax.scale_by_adam(), optax.scale(learning_rate))


def along(direction: Callable[[Array], Array], step_size: Any) -> optax.GradientTransformation:
    """Step rule: `step_size` along a direction of the gradient, such as a ball's steepest one."""
    return optax.stateless(lambda gradient, _: step_size * direction(cast(Array, gradient)))
