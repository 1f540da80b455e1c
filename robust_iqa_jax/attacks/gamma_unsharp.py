"""Gamma and unsharp mask: what a photo editor does, searched by evolution; asks for scores, never for gradients.
Siniukov et al. 2021, "Hacking VMAF and VMAF NEG" (arXiv 2107.04510), as georgebychkov/black-box-iqa runs it on quality
metrics, code/methods/msin-gamma-unsharp."""

from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, stronger
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.settings import traced
from robust_iqa_jax.functional.filters import sharpened, windowed_blur

Genes = Float[Array, "3"]
Population = Float[Array, "individuals 3"]

LOW, HIGH = (0.3, 30.0, 0.0), (1.2, 120.0, 2.0)
"""Ranges of the genes: exponent of the tone curve, sigma of the blur in pixels, amount of the unsharp mask."""
WINDOW = 17
"""Side of the window that the blur's Gaussian is cut off at, in pixels."""
FIRST, PARENTS, CHILDREN = 28, 18, 24
"""Individuals of the first generation, those that survive each, and children of each."""
CROSSED, MUTATED = 0.5, 0.49
"""Shares of the children that are made by crossing two parents and by changing one; the others repeat theirs."""
SPREAD = 15
"""A changed gene moves by a normal of 1 / SPREAD of its range."""


@traced("generations")
class GammaUnsharp(Attack):
    """clip(y + amount (y - blurred y)) of y = x^gamma, whose three numbers evolution chooses for each photo.

    Results look like the work of an editor and keep the scene: no ball bounds them. The source works on 8-bit pixels
    and returns the best of the last generation; here pixels stay real numbers, and a photo that nothing moved the right
    way stays what it was.

    Attributes:
      generations: each asks for CHILDREN scores, after FIRST + 1 at the start, >= 1.
    """

    kind = "gamma-unsharp"
    generations: Any = 12
    _: KW_ONLY
    direction: Direction = "raise"

    @property
    def effort(self) -> str:
        """The generations."""
        return str(int(self.generations))

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; one key an image."""
        target = objective(scorer, images, self.direction)
        fold = jax.vmap(jax.random.fold_in, (0, None))

        def scored(genes: Float[Array, "n individuals 3"]) -> Float[Array, "n individuals"]:
            one = lambda individual: target(edited(images, individual)).astype(images.dtype)  # noqa: E731
            values = jax.lax.map(one, jnp.moveaxis(genes, 1, 0)).T
            return jnp.where(jnp.isnan(values), -jnp.inf, values)

        def generation(i: Array, parents: tuple[Array, Array]) -> tuple[Array, Array]:
            children = jax.vmap(offspring)(fold(keys, i), parents[1])
            return best_of((parents[0], scored(children)), (parents[1], children))

        first = jax.vmap(lambda key: first_generation(key, images.dtype))(fold(keys, 0))
        parents = best_of((scored(first),), (first,))
        values, genes = jax.lax.fori_loop(1, self.generations + 1, generation, parents)
        clean = target(images)
        best = values[:, 0], edited(images, genes[:, 0])
        return Result(stronger((clean, images), best)[1], jnp.isfinite(clean))


def edited(images: Images, genes: Float[Array, "n 3"]) -> Images:
    """Each image through its tone curve and its unsharp mask."""
    gamma, amount = (genes[:, i, None, None, None] for i in (0, 2))
    toned = images**gamma
    return sharpened(toned, windowed_blur(toned, genes[:, 1], WINDOW), amount)


def first_generation(key: Array, dtype: Any) -> Population:
    """Uniform in the ranges."""
    low, high = (jnp.asarray(ends, dtype)[None] for ends in (LOW, HIGH))
    return low + (high - low) * jax.random.uniform(key, (FIRST, 3), dtype)


def best_of(values: tuple[Array, ...], genes: tuple[Array, ...]) -> tuple[Array, Array]:
    """The PARENTS best of several groups, best first; the earlier where they are equal."""
    together, members = jnp.concatenate(values, 1), jnp.concatenate(genes, 1)
    order = jnp.argsort(-together, 1, stable=True)[:, :PARENTS]
    return jnp.take_along_axis(together, order, 1), jnp.take_along_axis(members, order[..., None], 1)


def offspring(key: Array, parents: Population) -> Population:
    """CHILDREN of one photo's parents, see `child`."""
    return jax.vmap(child, (0, None))(jax.random.split(key, CHILDREN), parents)


def child(key: Array, parents: Population) -> Genes:
    """A parent with genes of a second one between two random places; or with one gene moved, inside its range; or as
    it is."""
    kind, pair, between, mutation = jax.random.split(key, 4)
    draw = jax.random.uniform(kind)
    first, second = parents[jax.random.choice(pair, PARENTS, (2,), replace=False)]
    return jnp.where(
        draw < CROSSED,
        jnp.where(crossed(between), second, first),
        jnp.where(draw < CROSSED + MUTATED, mutated(mutation, first), first),
    )


def crossed(key: Array) -> Array:
    """Which of three genes come from the second parent: those between two different cuts, drawn from 1 to 3."""
    cuts: Int[Array, "2"] = jnp.sort(jax.random.choice(key, jnp.arange(1, 4), (2,), replace=False))
    places = jnp.arange(3)
    return (places >= cuts[0]) & (places < cuts[1])


def mutated(key: Array, genes: Genes) -> Genes:
    """One gene moved by a normal of 1 / SPREAD of its range and cut to it."""
    which, how_far = jax.random.split(key)
    low, high = (jnp.asarray(ends, genes.dtype) for ends in (LOW, HIGH))
    moved = jnp.clip(genes + jax.random.normal(how_far, dtype=genes.dtype) * (high - low) / SPREAD, low, high)
    return jnp.where(jnp.arange(3) == jax.random.randint(which, (), 0, 3), moved, genes)
