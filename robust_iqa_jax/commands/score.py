"""`riqa score IMAGE...`: quality scores of photos by a trained model, higher is better.
Example: riqa score photo.jpg other.png --checkpoint runs/quickstart/robust --json"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jax.numpy as jnp
import numpy as np
import tyro
from rich.table import Table

from robust_iqa_jax.commands.progress import bar, err, out
from robust_iqa_jax.data.images import ImageError, read_image, resize_image, to_float
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.scorer import PreparedScorer, Scorer

BATCH = 8


@dataclass(frozen=True)
class ScoreArgs:
    """Score photos."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image files: PNG, JPEG, WebP, BMP, ..."""
    checkpoint: Path
    """Checkpoint or work folder of a training run."""
    json: bool = False
    """Print a list of {"image", "score", "model"} in input order."""


def main(args: list[str]) -> int:
    """Run the command; its exit status: 1 where an image could not be scored."""
    parsed = tyro.cli(ScoreArgs, args=args, prog="riqa score", description=__doc__)
    if not parsed.images:
        err.print("riqa score: give at least one image")
        return 2
    scorer = checkpoint.load(parsed.checkpoint).prepare()
    model = str(parsed.checkpoint)
    read = read_images(parsed.images, scorer.spec.input_size)
    scores = score_images(scorer, [image for _, image in read])
    rows = [{"image": str(path), "score": score, "model": model} for (path, _), score in zip(read, scores, strict=True)]
    if parsed.json:
        print(json.dumps(rows, indent=2))
    else:
        table = Table("image", f"score ({scorer.label}, {scorer.calibration.low:.1f} to {scorer.calibration.high:.1f})")
        for row in rows:
            table.add_row(row["image"], f"{row['score']:.3f}")
        out.print(table)
    return 0 if len(read) == len(parsed.images) else 1


def read_images(paths: tuple[Path, ...], size: tuple[int, int]) -> list[tuple[Path, np.ndarray]]:
    """The readable images, resized to uint8 (*size, 3); each of the others is named on standard error."""
    read = []
    for path in paths:
        try:
            read.append((path, resize_image(read_image(path), size)))
        except ImageError as error:
            err.print(f"riqa: {error}", markup=False)
    return read


def score_images(scorer: Scorer | PreparedScorer, images: list[np.ndarray]) -> list[float]:
    """Scores of uint8 images of one size, in batches of one shape so that only one program is compiled."""
    scores: list[float] = []
    with bar() as progress:
        task = progress.add_task("scoring", total=len(images), note="")
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            padded = np.stack(part + [part[-1]] * (BATCH - len(part)))
            scores += np.asarray(scorer(jnp.asarray(to_float(padded))))[: len(part)].tolist()
            progress.update(task, completed=len(scores))
    return scores
