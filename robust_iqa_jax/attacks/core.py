"""What every attack on a score shares: one entry that checks what it is given and runs as one jitted program.
An attack is an objective, a start, a step rule and a projection (attacks.ascent); it sees score functions only."""

import warnings
from abc import abstractmethod
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar, cast

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Int

from robust_iqa_jax.attacks.arguments import Images, check_count, check_some, example_keys
from robust_iqa_jax.attacks.ascent import Result
from robust_iqa_jax.attacks.ball import BALLS, Ball
from robust_iqa_jax.attacks.objective import OF_BATCHES, Direction, Opposite, ScoreFunction
from robust_iqa_jax.attacks.score_contract import check_kind, check_scorer, dependable
from robust_iqa_jax.attacks.settings import Settings
from robust_iqa_jax.checks import checked_images
from robust_iqa_jax.pytrees import as_pytree


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
