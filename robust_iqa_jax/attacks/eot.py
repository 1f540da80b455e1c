"""Expectation over transformation (EOT): attacks on the mean of a randomised score over its draws.
Athalye et al. 2018, "Synthesizing robust adversarial examples" (arXiv 1707.07397); against defences that draw."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result
from robust_iqa_jax.attacks.gradient import PGD
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.attacks.settings import traced
from robust_iqa_jax.attacks.wrapped import Wrapped


@runtime_checkable
class RandomScore(Protocol):
    """A score that draws something for each image before it scores it, such as defenses.purification.Purified; a
    pytree."""

    def draw(self, keys: Array, images: Images) -> Float[Array, " n"]:
        """Scores (n,) after one draw an image, each from its own key; a pure function."""
        ...


@traced("attack", "samples")
class EOT(Wrapped):
    """An attack that sees, in place of a randomised score, its mean over `samples` draws (see `Expectation`).

    Draws are new at every point that the attack asks about, and none of them are those of the score as it is called.

    Attributes:
      attack: by gradients, such as PGD(4 / 255, 20); its settings are its own.
      samples: draws at each point, >= 1; a gradient step costs as much as this many.
      seed: of the draws.
      label: what follows the attack's name; None: "eot16".

    Raises:
      ValueError: samples that are no count; when called, a scorer that does not draw.
    """

    kind = "eot"
    attack: Any = PGD()
    samples: Any = 16
    seed: int = 1
    label: str | None = None

    @property
    def name(self) -> str:
        """The attack's, with the draws: "pgd-8-eot16"."""
        label = f"eot{int(self.samples)}" if self.label is None else self.label
        return f"{self.attack.name}-{label}" if label else self.attack.name

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack on the mean, as a pure function."""
        return self.attack.perturb(self._expectation(scorer), keys, images)

    def __call__(self, scorer: ScoreFunction, key: Any, images: Any, *, chunk: int | None = None) -> Images:
        """`Attack.__call__` of the attack, on the mean."""
        return self.attack(self._expectation(scorer), key, images, chunk=chunk)

    def _expectation(self, scorer: Any) -> "Expectation":
        if not isinstance(scorer, RandomScore):
            raise ValueError(
                f"attack: {self.name} averages over what a defence draws, and this score draws nothing; "
                f"run {self.attack.name} itself"
            )
        return Expectation(scorer, self.samples, self.seed)


@partial(jax.tree_util.register_dataclass, data_fields=["score", "samples"], meta_fields=["seed"])
@dataclass(frozen=True, eq=False)
class Expectation:
    """The mean of a randomised score over draws, as a score function; its gradient is the mean of theirs.

    An image's draws follow from the seed and its content (`content_keys`): each score is a function of its own image
    only, and two images, such as two steps of an attack, have draws of their own. Draws run one after another, in the
    memory of one; reverse mode only.

    Attributes:
      score: draws for each image.
      samples: draws; a traced number.
      seed: of the draws.
    """

    score: RandomScore
    samples: Any
    seed: int

    def __call__(self, images: Images) -> Float[Array, " n"]:
        """Mean scores (n,)."""
        keys = content_keys(jax.random.key(self.seed), images)
        fold = jax.vmap(jax.random.fold_in, (0, None))

        def mean_of(ask: Any, images: Images) -> Any:
            add = lambda i, total: jax.tree.map(jnp.add, total, ask(fold(keys, i), images))  # noqa: E731
            zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(ask, keys, images))
            total = jax.lax.fori_loop(0, self.samples, add, zeros)
            return jax.tree.map(lambda a: a / self.samples, total)

        def score_and_gradient(keys: Array, images: Images) -> tuple[Array, Array]:
            scores, pull = jax.vjp(partial(self.score.draw, keys), images)
            return scores, pull(jnp.ones_like(scores))[0]

        @jax.custom_vjp
        def mean(images: Images) -> Array:
            return mean_of(self.score.draw, images)

        def backward(gradient: Array, cotangent: Array) -> tuple[Array]:
            return (cotangent.astype(gradient.dtype)[:, None, None, None] * gradient,)

        # A score is a function of its own image, so the gradient of their sum holds the gradient of each.
        mean.defvjp(lambda images: mean_of(score_and_gradient, images), backward)
        return mean(images)


def content_keys(key: Array, images: Images) -> Array:
    """One key an image, from `key` and the image's pixels to 16 bits: equal images have equal keys, wherever they stand
    in a batch, and an image that changed by more than rounding has another one.

    Args:
      key: one key.
      images: (n, h, w, c) in [0,1].
    """
    levels = jnp.round(jax.lax.stop_gradient(images).astype(jnp.float32) * 65535).astype(jnp.uint32)
    flat = levels.reshape(levels.shape[0], -1)
    odd = (2 * jnp.arange(flat.shape[1], dtype=jnp.uint32) + 1) * jnp.uint32(2654435761)
    prints = jax.vmap(lambda image: (image * odd).sum(dtype=jnp.uint32))(flat)
    return jax.vmap(partial(jax.random.fold_in, key))(prints)
