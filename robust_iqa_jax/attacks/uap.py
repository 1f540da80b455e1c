"""Universal perturbations: one pattern, fitted on some images, that raises the scores of others.
MSU's benchmark, methods uap and cumulative-uap, and the authors' attacks/uap.py (docs/sources.md 4.2)."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY
from functools import partial
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from robust_iqa_jax.attacks.arguments import Images, check_some, single_key
from robust_iqa_jax.attacks.ascent import Result, adam_ascent, has_direction
from robust_iqa_jax.attacks.core import Attack, attack_name, warn_of_dead_gradients
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.score_contract import check_scorer, dependable
from robust_iqa_jax.attacks.settings import Settings, traced
from robust_iqa_jax.checks import checked_images
from robust_iqa_jax.pytrees import as_pytree

Pattern = Float[Array, "h w c"]
Update = Literal["adam", "gradient"]
OnEpoch = Callable[[int, float], None]

LEARNING_RATES: dict[Update, float] = {"adam": 1e-3, "gradient": 1.0}
"""Published step sizes (MSU), in [0,1] pixel units."""


@traced("pattern", "eps")
class Universal(Attack):
    """A fitted pattern as an attack: images + eps * pattern, clipped to [0,1].

    A pattern smaller than the images is tiled from their top left corner, as MSU does; a larger one is cropped there.
    Another eps scales the pattern, which is how MSU applies one pattern at several amplitudes. The key is not used.

    Attributes:
      pattern: (h, w, c) in [-1, 1], the perturbation in units of eps.
      label: name for tables.

    Raises:
      ValueError: what `Settings` raises; on use, images with other channels than the pattern.
    """

    pattern: Any
    eps: Any = 10 / 255
    label: str = "uap"
    asks: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The label."""
        return self.label

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The pattern added to every image."""
        pattern = jnp.asarray(self.pattern, images.dtype)
        if pattern.ndim != 3 or pattern.shape[-1] != images.shape[-1]:
            raise ValueError(
                f"attack: a pattern (height, width, {images.shape[-1]}) expected for these images, got {pattern.shape}"
            )
        height, width = images.shape[1:3]
        repeats = (-(-height // pattern.shape[0]), -(-width // pattern.shape[1]), 1)
        ball, eps = self.ball(images)
        perturbation = eps * jnp.tile(pattern, repeats)[None, :height, :width]
        return Result(ball.finish(images, ball.project(perturbation, eps), eps))


class UniversalFit(Settings):
    """What fitting a universal perturbation takes: parameters, the perturbation that they stand for, a step rule.

    Subclasses are frozen dataclasses made by `traced`, with the attributes below and the four methods.
    """

    epochs: int
    batch_size: int
    score_range: Any

    @property
    @abstractmethod
    def kind(self) -> str:
        """Its name in registry.ATTACKS."""

    @property
    def label(self) -> str:
        """Name of what is fitted, for tables."""
        return attack_name(self.kind, "", self.norm, (), self.direction)

    @abstractmethod
    def start(self, key: Array, shape: tuple[int, int, int]) -> Any:
        """Parameters to start from, for a pattern of this shape."""

    @abstractmethod
    def perturbation(self, parameters: Any) -> Pattern:
        """The perturbation in [0,1] pixel units, inside +-eps."""

    @abstractmethod
    def rule(self) -> optax.GradientTransformation:
        """Turns gradients of what is to be raised into changes of the parameters."""

    @abstractmethod
    def project(self, parameters: Any) -> Any:
        """Applied to the parameters after each step."""

    def __call__(self, *scorer_key_images: Any) -> Any:
        """Refused: a pattern is fitted first.

        Raises:
          ValueError: always.
        """
        raise ValueError(
            f"attack: {self.label} is fitted on images first: attack = this.fit(scorer, key, other_images), then "
            "attack(scorer, key, images)"
        )

    def fit(self, scorer: ScoreFunction, key: Array, images: Any, *, on_epoch: OnEpoch | None = None) -> Universal:
        """Fit a pattern of the images' size; the perturbed images are clipped to [0,1] before they are scored.

        Raises the mean objective over each batch, in units of the score range. Attack other images than these: on
        the ones that it was fitted on (as the authors evaluate it) a pattern looks stronger than it is.

        Args:
          scorer: images -> scores (n,).
          key: of the start and of the order of the images.
          images: float (n, h, w, c) in [0,1], n and sides of your choice (MSU: 256 x 256 crops); all are kept on the
            device.
          on_epoch: called after each epoch with its index, from 0, and the mean objective over it, in score points.

        Returns:
          the fitted attack.

        Raises:
          ValueError: what is wrong with the images, the key or the scores, in one line.

        Warns where the gradients were zero or not finite in every batch.
        """
        if not callable(scorer):
            raise ValueError(f"attack: a function from images to scores expected, got {type(scorer).__name__}")
        images = checked_images(images)
        check_some(images)
        begin, shuffle = jax.random.split(single_key(key))
        check_scorer(scorer, images[: self.batch_size])
        scorer, dead = as_pytree(scorer), True
        parameters = self.start(begin, images.shape[1:])
        state = self.rule().init(parameters)
        for epoch in range(self.epochs):
            order = epoch_order(jax.random.fold_in(shuffle, epoch), images.shape[0], self.batch_size)
            parameters, state, mean, alive = _epoch(self, scorer, parameters, state, images, order)
            dead = dead and not alive
            if not np.isfinite(mean):
                raise ValueError(f"attack: {self.label}: the scores of the images that it is fitted on are not finite")
            if on_epoch is not None:
                on_epoch(epoch, float(mean))
        warn_of_dead_gradients(f"{self.label}, fitted", images.shape[0], 0, images.shape[0] if dead else 0)
        return Universal(self.perturbation(parameters) / self.eps, self.eps, self.label)


@traced("eps", "learning_rate", "score_range", "epochs", "batch_size")
class UAP(UniversalFit):
    """Additive universal perturbation: the pixels of the pattern are the parameters, from zero.

    The pattern is cut to +-eps after each step. MSU's cumulative-uap scores images outside [0,1]; here both updates
    see the clipped image. MSU bounds patterns by 0.1 and draws batches anew for each step; here each epoch goes
    through a permutation of the images once.

    Attributes:
      update: "adam", or "gradient" for plain gradient steps (MSU's cumulative-uap).
      learning_rate: step size in [0,1] units; None for the published one, see LEARNING_RATES. The authors use 1e-4.
      epochs: >= 1.
      batch_size: >= 1.
      score_range: width of the score's scale in points; only "gradient" depends on it.
    """

    eps: Any = 10 / 255
    _: KW_ONLY
    direction: Direction = "raise"
    update: Update = "adam"
    learning_rate: Any = None
    epochs: int = 5
    batch_size: int = 8
    score_range: Any = 100.0

    @property
    def kind(self) -> str:
        """ "uap" or "uap-cumulative"."""
        return "uap" if self.update == "adam" else "uap-cumulative"

    def start(self, key: Array, shape: tuple[int, int, int]) -> Pattern:
        """No perturbation."""
        return jnp.zeros(shape)

    def perturbation(self, parameters: Pattern) -> Pattern:
        """The parameters themselves."""
        return parameters

    def rule(self) -> optax.GradientTransformation:
        """Adam's or the gradient's step."""
        rate = LEARNING_RATES[self.update] if self.learning_rate is None else self.learning_rate
        return adam_ascent(rate) if self.update == "adam" else optax.scale(rate)

    def project(self, parameters: Pattern) -> Pattern:
        """Cut to +-eps."""
        return jnp.clip(parameters, -self.eps, self.eps)


def epoch_order(key: Array, count: int, batch_size: int) -> Int[Array, "batches batch"]:
    """Each of `count` indices once in random order; the last batch is filled up from the start of the order."""
    batch = min(batch_size, count)
    order = jax.random.permutation(key, count)
    return order[jnp.arange(-(-count // batch) * batch) % count].reshape(-1, batch)


@jax.jit
def _epoch(
    fitting: UniversalFit, scorer: ScoreFunction, parameters: Any, state: Any, images: Images, order: Array
) -> tuple[Any, Any, Array, Array]:
    rule, scorer = fitting.rule(), dependable(scorer)

    def rise(parameters: Any, batch: Images, target: ScoreFunction) -> tuple[Array, Array]:
        mean = target(jnp.clip(batch + fitting.perturbation(parameters)[None], 0, 1)).mean()
        return mean / fitting.score_range, mean

    def step(carry: tuple[Any, Any], index: Array) -> tuple[tuple[Any, Any], tuple[Array, Array]]:
        parameters, state = carry
        batch = images[index]
        target = objective(scorer, batch, fitting.direction)
        gradient, mean = jax.grad(partial(rise, batch=batch, target=target), has_aux=True)(parameters)
        updates, state = rule.update(gradient, state, parameters)
        alive = jnp.stack([has_direction(leaf[None])[0] for leaf in jax.tree.leaves(gradient)]).any()
        return (fitting.project(optax.apply_updates(parameters, updates)), state), (mean, alive)

    (parameters, state), (means, alive) = jax.lax.scan(step, (parameters, state), order)
    return parameters, state, means.mean(), alive.any()
