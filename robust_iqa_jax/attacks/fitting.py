"""What attacks that are fitted on some images and run on others share: epochs of steps, one jitted program each.
Source: MSU's benchmark and FACPA's repository (docs/sources.md 4.2)."""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from robust_iqa_jax.attacks.arguments import Images, check_some, single_key
from robust_iqa_jax.attacks.ascent import adam_ascent, has_direction
from robust_iqa_jax.attacks.core import Attack, attack_name, warn_of_dead_gradients
from robust_iqa_jax.attacks.objective import ScoreFunction, objective
from robust_iqa_jax.attacks.score_contract import check_scorer, dependable
from robust_iqa_jax.attacks.settings import Settings
from robust_iqa_jax.checks import checked_images
from robust_iqa_jax.pytrees import as_pytree

OnEpoch = Callable[[int, float], None]


class Fitting(Settings):
    """What fitting an attack takes: parameters, the perturbations that they stand for, what a step is.

    Subclasses are frozen dataclasses made by `traced`, with the attributes below and the methods.
    """

    learning_rate: Any
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
        """Parameters to start from, for images of this shape."""

    @abstractmethod
    def perturbations(self, parameters: Any, images: Images) -> Float[Array, "#n h w c"]:
        """The perturbations of images in [0,1] pixel units, inside +-eps; or one for all of them."""

    def rule(self) -> optax.GradientTransformation:
        """Turns gradients of what is to be raised into changes of the parameters; Adam."""
        return adam_ascent(self.learning_rate)

    def project(self, parameters: Any) -> Any:
        """Applied to the parameters after each step; nothing."""
        return parameters

    @abstractmethod
    def fitted(self, parameters: Any) -> Attack:
        """The attack of these parameters."""

    def __call__(self, *scorer_key_images: Any) -> Any:
        """Refused: it is fitted first.

        Raises:
          ValueError: always.
        """
        raise ValueError(
            f"attack: {self.label} is fitted on images first: attack = this.fit(scorer, key, other_images), then "
            "attack(scorer, key, images)"
        )

    def fit(self, scorer: ScoreFunction, key: Array, images: Any, *, on_epoch: OnEpoch | None = None) -> Attack:
        """Fit to images, whose perturbed versions are clipped to [0,1] before they are scored.

        Raises the mean objective over each batch, in units of the score range. Attack other images than these: on
        the ones that it was fitted on (as the paper's authors evaluate patterns) it looks stronger than it is.

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
        return self.fitted(parameters)


def epoch_order(key: Array, count: int, batch_size: int) -> Int[Array, "batches batch"]:
    """Each of `count` indices once in random order; the last batch is filled up from the start of the order."""
    batch = min(batch_size, count)
    order = jax.random.permutation(key, count)
    return order[jnp.arange(-(-count // batch) * batch) % count].reshape(-1, batch)


@jax.jit
def _epoch(
    fitting: Fitting, scorer: ScoreFunction, parameters: Any, state: Any, images: Images, order: Array
) -> tuple[Any, Any, Array, Array]:
    rule, scorer = fitting.rule(), dependable(scorer)

    def rise(parameters: Any, batch: Images, target: ScoreFunction) -> tuple[Array, Array]:
        mean = target(jnp.clip(batch + fitting.perturbations(parameters, batch), 0, 1)).mean()
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
