"""The sets that perturbations stay in: linf and l2 balls, with their projections, uniform draws and steepest steps.
Lengths are in [0,1] pixel units; l2 is the Euclidean length over all pixels and channels of one image."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images

Norm = Literal["linf", "l2"]
Perturbation = Float[Array, "n h w c"]

_IMAGE = (1, 2, 3)
_SMALLEST = 1e-30


@dataclass(frozen=True)
class Ball:
    """One norm's geometry.

    Attributes:
      project: (perturbation, eps) -> the nearest perturbation inside.
      draw: (keys, images, eps) -> perturbations uniform in the ball, each image's from its own key.
      steepest: gradient -> the direction of length one along which a linear function rises most.
      finish: (images, perturbation, eps) -> images inside the ball and in [0,1], rounding included.
    """

    project: Callable[[Perturbation, Array], Perturbation]
    draw: Callable[[Array, Images, Array], Perturbation]
    steepest: Callable[[Perturbation], Perturbation]
    finish: Callable[[Images, Perturbation, Array], Images]


def in_range(images: Images, perturbation: Perturbation) -> Perturbation:
    """What is left of a perturbation when the perturbed images are cut to [0,1]."""
    return jnp.clip(images + perturbation, 0, 1) - images


def length(perturbation: Perturbation) -> Float[Array, "n 1 1 1"]:
    """Euclidean length of each image's perturbation."""
    return jnp.sqrt(jnp.sum(perturbation**2, _IMAGE, keepdims=True))


def _clip(perturbation: Perturbation, eps: Array) -> Perturbation:
    return jnp.clip(perturbation, -eps, eps)


def _cube(keys: Array, images: Images, eps: Array) -> Perturbation:
    draw = partial(jax.random.uniform, shape=images.shape[1:], dtype=images.dtype, minval=-1.0, maxval=1.0)
    return jax.vmap(draw)(keys) * eps


def _finish_linf(images: Images, perturbation: Perturbation, eps: Array) -> Images:
    # Bounds once more: images + perturbation rounds, and may leave the ball by one unit in the last place.
    return jnp.clip(images + perturbation, jnp.maximum(images - eps, 0), jnp.minimum(images + eps, 1))


def _shrink(perturbation: Perturbation, eps: Array) -> Perturbation:
    return perturbation * jnp.minimum(1, eps / jnp.maximum(length(perturbation), _SMALLEST))


def _sphere(keys: Array, images: Images, eps: Array) -> Perturbation:
    """A normal direction, and a radius whose power d is uniform."""

    def draw(key: Array) -> Array:
        direction, radius = jax.random.split(key)
        normal = jax.random.normal(direction, images.shape[1:], images.dtype)
        scale = jax.random.uniform(radius, (), images.dtype) ** (1 / normal.size)
        return normal * (scale / jnp.linalg.norm(normal))

    return jax.vmap(draw)(keys) * eps


def _unit(gradient: Perturbation) -> Perturbation:
    return gradient / jnp.maximum(length(gradient), _SMALLEST)


def _finish_l2(images: Images, perturbation: Perturbation, eps: Array) -> Images:
    # Clipping to [0,1] only shortens; the margin covers the rounding of the length.
    margin = 1 - 8 * jnp.finfo(images.dtype).eps
    perturbation = _shrink(in_range(images, perturbation), eps * margin)
    moved = jnp.clip(images + perturbation, 0, 1)
    # A sum that was rounded away from the clean pixel goes back by one unit in the last place: over many pixels, such
    # roundings lengthen small perturbations beyond any fixed margin.
    return jnp.where(jnp.abs(moved - images) > jnp.abs(perturbation), jnp.nextafter(moved, images), moved)


BALLS: dict[Norm, Ball] = {
    "linf": Ball(_clip, _cube, jnp.sign, _finish_linf),
    "l2": Ball(_shrink, _sphere, _unit, _finish_l2),
}
