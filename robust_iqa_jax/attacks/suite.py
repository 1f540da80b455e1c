"""AttackSuite: image by image the strongest of several attacks under one ball; what a robustness claim has to survive.
After AutoAttack (Croce and Hein 2020, arXiv 2003.01690), with score functions and gains in place of classes."""

from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.apgd import APGD
from robust_iqa_jax.attacks.arguments import Images, check_some, example_keys
from robust_iqa_jax.attacks.ascent import Result, stronger
from robust_iqa_jax.attacks.ball import Norm
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.gradient import MIFGSM, PGD
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.score_contract import dependable
from robust_iqa_jax.attacks.settings import traced
from robust_iqa_jax.attacks.square import Square
from robust_iqa_jax.checks import checked_images


@traced("eps", "steps", "queries")
class AttackSuite(Attack):
    """The worst case of PGD with restarts, APGD, MI-FGSM and Square.

    Every member gets the keys that it would have alone, so the suite is at least as strong as each of them.
    AutoAttack skips images that are beaten already; a score has no "beaten", so all members run on all images.

    Attributes:
      steps: iterations of the gradient attacks, >= 1.
      restarts: random starts of PGD and APGD, >= 1.
      queries: scores that Square asks for each image.
    """

    kind = "suite"
    eps: Any = 4 / 255
    steps: Any = 20
    _: KW_ONLY
    direction: Direction = "raise"
    norm: Norm = "linf"
    restarts: int = 3
    queries: Any = 200

    @property
    def traits(self) -> tuple[str, ...]:
        """None: restarts are a matter of its members."""
        return ()

    @property
    def members(self) -> tuple[Attack, ...]:
        """The attacks whose strongest result counts; of equal ones the first."""
        shared: dict[str, Any] = {"direction": self.direction, "norm": self.norm}
        return (
            PGD(self.eps, self.steps, restarts=self.restarts, keep_best=True, **shared),
            APGD(self.eps, self.steps, restarts=self.restarts, **shared),
            MIFGSM(self.eps, self.steps, keep_best=True, **shared),
            Square(self.eps, self.queries, **shared),
        )

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; one key an image."""
        target = objective(scorer, images, self.direction)
        best = jnp.full(images.shape[0], -jnp.inf, images.dtype), images
        finite, alive = jnp.ones(images.shape[0], bool), jnp.zeros(images.shape[0], bool)
        for member in self.members:
            # Members share their draws with the attacks alone, which is no reuse by mistake.
            result = member.perturb(scorer, jax.random.clone(keys), images)
            best = stronger(best, (target(result.images), result.images))
            finite = finite if result.finite is None else finite & result.finite
            alive = alive if result.alive is None else alive | result.alive
        return Result(best[1], finite, alive)

    def each(self, scorer: ScoreFunction, key: Array, images: Any, *, chunk: int | None = None) -> "list[MemberResult]":
        """Result of every member, in the order of `members`, for tables that show which one won.

        Args and errors as of a call of the suite; each member runs as a program of its own.
        """
        images = checked_images(images)
        check_some(images)
        keys = example_keys(key, images.shape[0])
        target = objective(dependable(scorer), images, self.direction)
        results = []
        for member in self.members:
            result = member(scorer, keys, images, chunk=chunk)
            results.append(MemberResult(member.name, result, target(result)))
        return results


@dataclass(frozen=True, eq=False)
class MemberResult:
    """One member's result on a batch.

    Attributes:
      name: the member's.
      images: adversarial, (n, h, w, c).
      values: the objective there, (n,); the largest over members is the suite's.
    """

    name: str
    images: Images = field(repr=False)
    values: Float[Array, " n"] = field(repr=False)
