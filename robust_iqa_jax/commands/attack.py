"""`riqa attack IMAGE...`: adversarial versions of photos against a trained model, as lossless PNG and a CSV of scores.
Example: riqa attack photo.jpg --checkpoint runs/quickstart/base --eps 4/255 --steps 8 --out runs/attacked"""

import csv
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from PIL import Image

from robust_iqa_jax import attacks
from robust_iqa_jax.commands.progress import bar, err, out
from robust_iqa_jax.commands.score import read_images
from robust_iqa_jax.data.images import to_float
from robust_iqa_jax.models import checkpoint


@dataclass(frozen=True)
class AttackArgs:
    """Attack photos, at the model's input size."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image files."""
    checkpoint: Path
    """Checkpoint or work folder of a training run."""
    attack: Literal["pgd"] = "pgd"
    eps: str = "4/255"
    """Largest change of a pixel in [0,1], a number or a fraction."""
    steps: int = 8
    """Iterations."""
    direction: Literal["raise", "lower"] = "raise"
    """Which way the score is pushed."""
    seed: int = 0
    out: Path = Path("runs/attacked")
    """Folder for NAME.png (adversarial) and scores.csv."""


def main(args: list[str]) -> int:
    """Run the command; its exit status: 1 where an image could not be read."""
    parsed = tyro.cli(AttackArgs, args=args, prog="riqa attack", description=__doc__)
    if not parsed.images:
        err.print("riqa attack: give at least one image")
        return 2
    try:
        eps = float(Fraction(parsed.eps))
    except (ValueError, ZeroDivisionError):
        err.print(f"riqa attack: --eps {parsed.eps}: give a number or a fraction such as 4/255")
        return 2
    scorer = checkpoint.load(parsed.checkpoint)
    attack = attacks.pgd(eps=eps, steps=parsed.steps, direction=parsed.direction)
    read = read_images(parsed.images, scorer.spec.input_size)
    parsed.out.mkdir(parents=True, exist_ok=True)
    rows = []
    with bar() as progress:
        task = progress.add_task("attacking", total=len(read), note="")
        for i, (path, image) in enumerate(read):
            clean = jnp.asarray(to_float(image))[None]
            adversarial = attack(scorer, jax.random.fold_in(jax.random.key(parsed.seed), i), clean)
            pixels = np.round(np.asarray(adversarial[0]) * 255).astype(np.uint8)
            target = parsed.out / f"{path.stem}.png"
            if any(row["adversarial"] == str(target) for row in rows):
                target = parsed.out / f"{path.stem}_{i}.png"
            Image.fromarray(pixels).save(target)
            rows.append(
                {
                    "image": str(path),
                    "adversarial": str(target),
                    "clean": float(scorer(clean)[0]),
                    "attacked": float(scorer(adversarial)[0]),
                    "attacked_8bit": float(scorer(jnp.asarray(to_float(pixels))[None])[0]),
                }
            )
            progress.update(task, advance=1)
    with (parsed.out / "scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "adversarial", "clean", "attacked", "attacked_8bit"])
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        out.print(
            f"{row['image']}: {row['clean']:.3f} -> {row['attacked']:.3f} ({row['attacked_8bit']:.3f} as 8-bit PNG)"
        )
    return 0 if len(read) == len(parsed.images) else 1
