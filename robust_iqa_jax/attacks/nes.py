"""NES: PGD on a gradient that is estimated from scores alone, with antithetic Gaussian queries.
Ilyas et al. 2018, "Black-box adversarial attacks with limited queries and information" (arXiv 1804.08598)."""

from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, has_direction
from robust_iqa_jax.attacks.ball import Norm, Perturbation
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.gradient import pgd_step
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.settings import traced


@traced("eps", "steps", "sigma")
class NES(Attack):
    """Projected steepest steps from the clean image along an estimated gradient; the last iterate is returned.

    The estimate at x is the mean of (f(x + sigma u) - f(x - sigma u)) u / (2 sigma) over normal draws u. Queries are
    not clipped to [0,1], as in the paper. The step size is PGD's: 1.25 eps for one iteration, else 2.5 eps / steps. The
    scorer may be opaque, such as a jax.pure_callback.

    Attributes:
      samples: scores asked for an image and step, even; the paper has 50.
      sigma: standard deviation of the queries, in [0,1] units; the paper has 0.001.
      batch: scores asked for an image at a time, for memory; even, a divisor of `samples`. None: all of them.

    Raises:
      ValueError: a number that is not positive, odd or indivisible counts, unknown names.
    """

    kind = "nes"
    eps: Any = 4 / 255
    steps: Any = 20
    _: KW_ONLY
    direction: Direction = "raise"
    norm: Norm = "linf"
    samples: int = 50
    sigma: Any = 0.001
    batch: int | None = None

    def check(self) -> None:
        """Queries are asked in pairs, in equal batches."""
        if self._batch % 2 or self.samples % self._batch:
            raise ValueError(
                f"attack: nes asks in pairs; samples {self.samples} in batches of {self._batch} must be even and divide"
            )

    @property
    def effort(self) -> str:
        """Steps x samples."""
        return f"{int(self.steps)}x{self.samples}"

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; one key an image."""
        # One objective value a query: directions that need clean scores get each image's as often as it is asked.
        target = objective(scorer, jnp.repeat(images, self._batch, 0), self.direction)
        ball, eps = self.ball(images)
        size = pgd_step(eps, self.steps)

        def step(i: Array, progress: Result) -> Result:
            perturbation, finite, alive = progress
            step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
            gradient, answered = self._estimate(target, step_keys, jnp.clip(images + perturbation, 0, 1))
            moved = perturbation + (size * ball.steepest(gradient)).astype(images.dtype)
            finite, alive = jnp.where(i == 0, answered, finite), alive | has_direction(gradient)
            return Result(ball.project(moved, eps), finite, alive)

        none = jnp.zeros(images.shape[0], bool)
        result = jax.lax.fori_loop(0, self.steps, step, Result(jnp.zeros_like(images), ~none, none))
        return result._replace(images=ball.finish(images, result.images, eps))

    def _estimate(self, target: ScoreFunction, keys: Array, images: Images) -> tuple[Perturbation, Bool[Array, " n"]]:
        """The gradient of `target`, summed over batches of queries; and whether any pair of answers was finite.

        A pair whose answers are not finite counts as level.
        """
        pairs, sigma = self._batch // 2, jnp.asarray(self.sigma, images.dtype)

        def ask(total: Perturbation, i: Array) -> tuple[Perturbation, Bool[Array, " n"]]:
            # A key a pair: what is drawn does not depend on how many are asked at a time.
            def draw(key: Array, pair: Array) -> Array:
                return jax.random.normal(jax.random.fold_in(key, pair), images.shape[1:], images.dtype)

            noise = jax.vmap(jax.vmap(draw, (None, 0)), (0, None))(keys, i * pairs + jnp.arange(pairs))
            queries = images[:, None] + sigma * jnp.concatenate([noise, -noise], 1)
            values = target(queries.reshape(-1, *images.shape[1:])).reshape(-1, 2, pairs)
            # Differences first: the scores are large against what sigma changes, and their sum would round it away.
            slopes = (values[:, 0] - values[:, 1]) / (self.samples * sigma)
            level = jnp.where(jnp.isfinite(slopes), slopes, 0)
            ahead = total + jnp.einsum("np,nphwc->nhwc", level, noise).astype(images.dtype)
            return ahead, jnp.isfinite(slopes).any(1)

        total, answered = jax.lax.scan(ask, jnp.zeros_like(images), jnp.arange(self.samples // self._batch))
        return total, answered.any(0)

    @property
    def _batch(self) -> int:
        return self.samples if self.batch is None else self.batch
