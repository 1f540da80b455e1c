"""Does the Jacobian at a photo bound what a change of that photo does to the features? FS-IQA's certificate needs it.

    python -m robust_iqa_jax.benchmarks.feature_bound --models accurate-lite0 robust-lite0 --data clive/scores.csv \\
        --group 0 --photos 20 --radius 0.12 0.5 --results benchmarks/results

FS-IQA (arXiv 2508.05516) puts noise on a network's features and turns a radius there into one of pixels by the largest
singular value of the Jacobian of the features at the photo. That is what a change does to first order; a certificate
must hold for every change of its length. Here an attack looks for changes that move the features further.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ball import BALLS
from robust_iqa_jax.benchmarks.machine import machine
from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.data.images import at_size
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.data.photo_set import evenly_spread
from robust_iqa_jax.files import write_text
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import build, normalise
from robust_iqa_jax.models.scorer import Scorer


@dataclass(frozen=True)
class Args:
    """Models, photos and lengths."""

    models: tuple[str, ...]
    """Names of shipped models, or work folders, of the architecture "linearity"."""
    data: str
    """Label table, or folder of an unpacked archive."""
    group: str
    """Value of its split or fold column."""
    photos: int | None = None
    """How many, evenly spread; all where not given."""
    radius: tuple[float, ...] = (0.12, 0.5)
    """l2 lengths of the changes, in [0,1] pixels."""
    turns: int = 20
    """Of the power iteration."""
    steps: int = 20
    """Of the attack on the features."""
    results: Path | None = None
    """Folder for the dated table."""


def main(args: Args) -> None:
    """Measure, print and store the table."""
    _, photos = split_photos(open_photos(args.data), args.group)
    photos = photos.subset(evenly_spread(len(photos), args.photos))
    lines = [
        "| model | radius | largest singular value, median | reached, share of the bound: median | largest | beyond |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in args.models:
        scorer = checkpoint.load(name)
        shares: dict[float, list[float]] = {radius: [] for radius in args.radius}
        values = []
        for i in range(len(photos)):
            image = jnp.asarray(at_size(photos.load(i), scorer.spec.input_size))[None]
            value, start = largest_singular_value(scorer, image, args.turns)
            values.append(float(value))
            for radius in args.radius:
                moved = furthest(scorer, image, start, jnp.float32(radius), args.steps)
                shares[radius].append(float(moved / (value * radius)))
            err.print(f"{name}, photo {i + 1} of {len(photos)}", markup=False)
        for radius, reached in shares.items():
            beyond = f"{sum(share > 1 for share in reached)} of {len(reached)}"
            row = [Path(name).name, f"{radius:g}", f"{np.median(values):.2f}", f"{np.median(reached):.2f}"]
            lines.append("| " + " | ".join([*row, f"{max(reached):.2f}", beyond]) + " |")
    head = [f"# Is the Jacobian at a photo a bound for its features? {len(photos)} photos, group {args.group}", ""]
    head += [f"{key}: {value}  " for key, value in machine().items()]
    note = f"{args.turns} turns of power iteration; {args.steps} steps of l2 ascent on the change of the features."
    table = "\n".join([*head, "", note, "", *lines, ""])
    out.print(table, markup=False, highlight=False)
    if args.results is not None:
        args.results.mkdir(parents=True, exist_ok=True)
        write_text(args.results / f"{time.strftime('%Y-%m-%d')}_feature_bound.md", table)


def features(scorer: Scorer, images: Images) -> Float[Array, "n f"]:
    """What the head reads of images in [0,1], one vector an image."""
    variables: Any = scorer.variables
    found = build(scorer.spec).apply(variables, normalise(scorer.spec, images), method="features")
    return jnp.concatenate(found, -1)  # pyright: ignore[reportArgumentType]


@jax.jit(static_argnames="turns")
def largest_singular_value(scorer: Scorer, image: Images, turns: int) -> tuple[Array, Images]:
    """Of the Jacobian of the features at an image (1, h, w, 3), from below, and the change that reaches it."""

    def turn(_: Any, v: Images) -> Images:
        back = jax.vjp(lambda x: features(scorer, x), image)[1](along(v))[0]
        return back / jnp.linalg.norm(back)

    def along(v: Images) -> Array:
        return jax.jvp(lambda x: features(scorer, x), (image,), (v,))[1]

    v = jax.random.normal(jax.random.key(0), image.shape)
    v = jax.lax.fori_loop(0, turns, turn, v / jnp.linalg.norm(v))
    return jnp.linalg.norm(along(v)), v


@jax.jit(static_argnames="steps")
def furthest(scorer: Scorer, image: Images, start: Images, radius: Array, steps: int) -> Array:
    """Largest |F(x') - F(x)| that ascent finds in [0,1] within the radius of an image, from both ends of a start."""
    clean, ball = features(scorer, image), BALLS["l2"]

    def moved(change: Images) -> Array:
        return jnp.linalg.norm(features(scorer, jnp.clip(image + change, 0, 1)) - clean)

    def step(_: Any, state: tuple[Images, Array]) -> tuple[Images, Array]:
        change, best = state
        value, gradient = jax.value_and_grad(moved)(change)
        longer = change + 0.25 * radius * gradient / (jnp.linalg.norm(gradient) + 1e-12)
        return ball.project(longer, radius), jnp.maximum(best, value)

    ends = []
    for sign in (1.0, -1.0):
        change, best = jax.lax.fori_loop(0, steps, step, (sign * radius * start, jnp.float32(0)))
        ends.append(jnp.maximum(best, moved(change)))
    return jnp.maximum(*ends)


if __name__ == "__main__":
    main(parsed(Args, sys.argv[1:], "feature_bound", __doc__))
