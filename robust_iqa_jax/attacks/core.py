"""What every attack on a score shares: the configured attack as a pytree, one jitted entry, and one ascent loop.
An attack is an objective, a start, a step rule (an optax transform) and a projection; it sees score functions only."""

import dataclasses
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeVar, cast, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from robust_iqa_jax.attacks.arguments import Images, check_count, check_settings, check_some, example_keys
from robust_iqa_jax.attacks.ball import BALLS, Ball, Perturbation
from robust_iqa_jax.attacks.objective import OF_BATCHES, Direction, Opposite, ScoreFunction, check_direction
from robust_iqa_jax.attacks.score_contract import check_kind, check_scorer, dependable
from robust_iqa_jax.checks import check_eps, checked_images, is_known
from robust_iqa_jax.pytrees import as_pytree

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


class Settings:
    """Settings under names that mean the same in every attack; all are checked when an attack is made.

    Attributes:
      eps: largest change of a pixel (or length, for l2), in [0,1] units, > 0; None where there is no bound.
      norm: "linf" or "l2": what eps bounds.
      direction: which way scores are pushed, see attacks.objective; None where there is none.
      steps: iterations, >= 1.
      step_size: of a step, in the units of eps, > 0.
      restarts: random starts, of which each image keeps the strongest result; the first is that of restarts=1.
      random_start: False starts at the clean image, and leaves nothing to restart.
      keep_best: keep each image's strongest iterate instead of the last one.
      score_range: width of the score's scale in points, > 0.

    Raises:
      ValueError: a number that is not positive (counts: or not whole), unknown names, an eps that `checks.check_eps`
        refuses, restarts without random starts.
    """

    eps: Any = None
    norm: Any = "linf"
    direction: Any = None

    def __post_init__(self) -> None:
        """Check each setting by its name, then what they must be together."""
        check_eps(self.eps, self.norm)  # from here, so that its warning names the line that makes the attack
        check_settings(self)
        if any(field.name == "direction" for field in dataclasses.fields(cast(Any, self))):
            check_direction(self.direction)
        self.check()

    def check(self) -> None:
        """Raise ValueError for settings that do not go together; nothing, unless an attack says so."""

    def replace(self: T, **changes: Any) -> T:
        """A copy with some settings changed."""
        return dataclasses.replace(cast(Any, self), **changes)


class Attack(Settings):
    """A configured attack, called with (scorer, key, images); a pytree whose numbers are traced.

    Subclasses are frozen dataclasses made by `traced`, with `kind` and `perturb`.

    Attributes:
      kind: its name in registry.ATTACKS.
      couples: True where an image's result depends on the other images of its batch.
      asks: False where the scorer is never asked, and may be None.
    """

    kind: ClassVar[str]
    asks: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Short name for tables, such as "pgd-8-l2-best-lower"; without eps and what is the default of all attacks."""
        return attack_name(self.kind, self.effort, self.norm, self.traits, self.direction)

    @property
    def effort(self) -> str:
        """What follows the kind in a name: the steps, where there are any."""
        return str(int(steps)) if (steps := getattr(self, "steps", None)) is not None else ""

    @property
    def traits(self) -> tuple[str, ...]:
        """What else tells variants of an attack apart in its name."""
        restarts = getattr(self, "restarts", 1)
        several = (f"restarts{restarts}",) if restarts > 1 else ()
        return (*several, "best") if getattr(self, "keep_best", False) else several

    @property
    def couples(self) -> bool:
        """Whether an image's result depends on the other images of its batch."""
        return self.direction in OF_BATCHES

    def ball(self, images: Images) -> tuple[Ball, Array]:
        """The geometry of the norm, and eps as a number of the images' type."""
        return BALLS[self.norm], jnp.asarray(self.eps, images.dtype)

    @abstractmethod
    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack itself: pure and traceable; one key an image."""

    def __call__(self, scorer: ScoreFunction, key: Any, images: Any, *, chunk: int | None = None) -> Images:
        """Adversarial images, as one jitted program: same shape and type, in [0,1], inside the attack's ball.

        Half precision images (bfloat16, float16) are attacked, and returned, as the same pixels in float32: in their
        own arithmetic no ball of a few 255ths would hold.

        A scorer that is a pytree (such as models.Scorer) is traced: other weights reuse the program. A plain function
        is part of the program's identity: the same function object reuses it. Images that are spread over devices
        stay so.

        Args:
          scorer: images -> scores (n,), each score a function of its own image only. The first call with a scorer
            scores the batch twice to see that it is so, and warns.
          key: one key, folded with each image's index (so results do not depend on how a batch is spread over
            devices), or an array of n keys, one an image (so an image alone can repeat its result from a batch). A
            whole number is the seed of a key.
          images: float (n, h, w, c) in [0,1].
          chunk: images attacked at a time, for memory; None: all at once.

        Raises:
          ValueError: what is wrong with the images, the keys, the scores or the chunk, in one line.

        Warns where an image's gradients were all zero or not finite, so that its result shows no robustness.
        """
        if not callable(scorer) and (self.asks or scorer is not None):
            raise ValueError(f"attack: a function from images to scores expected, got {type(scorer).__name__}")
        images = checked_images(images)
        check_some(images)
        keys = example_keys(key, images.shape[0])
        if chunk is not None:
            check_count(chunk=chunk)
            if self.couples:
                raise ValueError(f"attack: {self.name} looks at a batch as a whole and cannot run in chunks of {chunk}")
        if self.asks:
            check_scorer(scorer, images[:chunk])
        adversarial, broken, dead = _run(as_pytree(scorer), chunk, self, keys, images)
        if not isinstance(broken, Tracer):
            warn_of_dead_gradients(self.name, images.shape[0], int(broken), int(dead))
        return adversarial


def attack_name(kind: str, effort: str, norm: str, traits: Iterable[str], direction: Direction | None) -> str:
    """Name of an attack in tables, such as "mi-fgsm-10-l2-raw-lower"; linf and "raise" go without saying.

    Args:
      kind: its name in registry.ATTACKS.
      effort: how long it runs or how much it changes, such as "10"; may be empty.
      norm, direction: see `Settings`.
      traits: what else tells it apart.
    """
    way = "opposite" if isinstance(direction, Opposite) else direction
    parts = (kind, effort, "" if norm == "linf" else norm, *traits, "" if way in (None, "raise") else way)
    return "-".join(filter(None, parts))


@dataclass_transform(frozen_default=True)
def traced(*numbers: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: a frozen dataclass registered as a pytree, with equality, hash and a line of text by values.

    What JAX rebuilds from leaves is not checked again: its leaves may be gradients, axes or placeholders.

    Args:
      numbers: fields that are leaves. A sweep over them compiles once; the other fields are part of the program.
    """

    def register(attack: type[T]) -> type[T]:
        kind = cast(Any, dataclasses.dataclass(frozen=True, eq=False, repr=False)(attack))
        rest = [field.name for field in dataclasses.fields(kind) if field.name not in numbers]

        def values(settings: Any, names: Iterable[str]) -> tuple[Any, ...]:
            return tuple(getattr(settings, name) for name in names)

        def flatten(settings: Any) -> tuple[list[Any], tuple[Any, ...]]:
            keys = map(jax.tree_util.GetAttrKey, numbers)
            return list(zip(keys, values(settings, numbers), strict=True)), values(settings, rest)

        def unflatten(meta: tuple[Any, ...], data: Iterable[Any]) -> Any:
            settings = object.__new__(kind)
            for name, value in zip((*numbers, *rest), (*data, *meta), strict=True):
                object.__setattr__(settings, name, value)
            return settings

        kind.__eq__, kind.__hash__, kind.__repr__ = _equal, _hash, _line
        jax.tree_util.register_pytree_with_keys(kind, flatten, unflatten)
        return kind

    return register


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return NotImplemented
    (first, structure), (second, other_structure) = jax.tree.flatten(one), jax.tree.flatten(other)
    return structure == other_structure and all(map(_same, first, second))


def _same(one: Any, other: Any) -> bool:
    if is_known(one) and is_known(other):
        return np.array_equal(np.asarray(one), np.asarray(other))
    return one is other


def _hash(settings: Any) -> int:
    leaves, structure = jax.tree.flatten(settings)
    # Equal numbers of different types have equal hashes; + 0.0, because -0.0 == 0.0.
    return hash((structure, *((np.asarray(a, np.float64) + 0.0).tobytes() if is_known(a) else id(a) for a in leaves)))


def _line(settings: Any) -> str:
    fields = ", ".join(
        f"{field.name}={_short(getattr(settings, field.name))}" for field in dataclasses.fields(settings)
    )
    return f"{type(settings).__name__}({fields})"


def _short(value: Any) -> str:
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        known = is_known(value) and not value.shape
        return repr(value.item()) if known else f"{value.dtype}{list(value.shape)}"
    if isinstance(value, jax.tree_util.Partial) and not jax.tree.leaves(value):
        return getattr(value.func, "__name__", type(value.func).__name__)
    text = repr(value)
    return text if len(text) <= 80 and "\n" not in text else f"<{type(value).__name__}>"


@partial(jax.jit, static_argnums=1)
def _run(
    scorer: ScoreFunction | None, chunk: int | None, attack: Attack, keys: Array, images: Array
) -> tuple[Images, Int[Array, ""], Int[Array, ""]]:
    """Adversarial images, and of how many the scores were not finite or the gradients dead, see `Result`."""
    count = images.shape[0]
    if not attack.asks and scorer is not None:
        check_kind(scorer, images[:chunk])
    score = cast(ScoreFunction, None if scorer is None else dependable(scorer))
    if chunk is None or chunk >= count:
        result = attack.perturb(score, keys, images)
    else:
        index = jnp.minimum(jnp.arange(-(-count // chunk) * chunk), count - 1)  # the last chunk repeats the last image
        parts = jax.tree.map(lambda a: a[index].reshape(-1, chunk, *a.shape[1:]), (keys, images))
        result = jax.lax.map(lambda part: attack.perturb(score, *part), parts)
        result = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:count], result)
    broken, dead = (jnp.int32(0) if good is None else (~good).sum() for good in result[1:])
    return result.images, broken, dead


def warn_of_dead_gradients(name: str, count: int, broken: int, dead: int) -> None:
    """Warn where gradients led nowhere, so that the results show no robustness.

    Args:
      name: the attack's.
      count: of images.
      broken: images whose score was not a number.
      dead: images whose gradients were zero or not finite everywhere.

    Raises:
      ValueError: scores that are not numbers.
    """
    if broken:
        raise ValueError(f"attack: {name}: the score of {broken} of {count} images is NaN or infinite")
    if dead:
        warnings.warn(
            f"attack: {name}: the score's gradient is zero or not finite everywhere for {dead} of {count} images; "
            "their results show no robustness",
            stacklevel=3,
        )


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
    value_and_gradient = jax.value_and_grad(lambda x: _summed(objective(x)), has_aux=True)

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


def stronger(
    one: tuple[Float[Array, " n"], Array], other: tuple[Float[Array, " n"], Array]
) -> tuple[Float[Array, " n"], Array]:
    """The better of two (objective values, images or perturbations) for each image; the first where they are equal.

    A value that is not a number is the worst.
    """
    wins = (other[0] > one[0]) | (jnp.isnan(one[0]) & ~jnp.isnan(other[0]))
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
