"""`riqa attack IMAGE...`: adversarial versions of photos against a trained model, as lossless PNG and a CSV of scores.
Example: riqa attack photo.jpg --checkpoint runs/quickstart/base --attack pgd --eps 4/255 --steps 8 --out attacked"""

import argparse
import csv
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float
from PIL import Image

from robust_iqa_jax.attacks import registry
from robust_iqa_jax.attacks.arguments import example_keys
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.commands.attack_settings import option, settings_table, split_settings
from robust_iqa_jax.commands.progress import bar, err, out
from robust_iqa_jax.commands.score import read_images
from robust_iqa_jax.data.images import to_float
from robust_iqa_jax.evaluation.perturbation_pictures import difference_picture
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.scorer import PreparedScorer, Scorer


@dataclass(frozen=True)
class AttackArgs:
    """Attack photos, at the model's input size."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image files."""
    checkpoint: Path
    """Checkpoint or work folder of a training run."""
    attack: str = "pgd"
    """Name of an attack; those that there are, with their own options, stand above."""
    fit_on: tuple[Path, ...] = ()
    """Images that a universal perturbation is fitted on; others than the attacked ones."""
    to_8bit: bool = False
    """Print the scores of the PNG files instead of those before rounding to 8 bits (the CSV has both)."""
    seed: int = 0
    """Of the attack's random numbers."""
    out: Path = Path("runs/attacked")
    """Folder for NAME.png (adversarial), NAME_difference.png (128 + gain * difference) and scores.csv."""


OWN = {option(field.name) for field in dataclasses.fields(AttackArgs)} | {"--help", "--no-to-8bit"}


def main(args: list[str]) -> int:
    """Run the command; its exit status: 1 where an image could not be read, 2 for bad arguments."""
    wanted = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    wanted.add_argument("--attack", nargs="?", default=AttackArgs.attack)
    name = wanted.parse_known_args(args)[0].attack or ""
    try:
        settings, rest = split_settings(name, args, OWN)
        attack = registry.make(name, **settings)
    except ValueError as error:
        return _refused(str(error))
    description = f"{__doc__}\n\nAttacks and their options:\n{settings_table()}"
    parsed = tyro.cli(AttackArgs, args=rest, prog="riqa attack", description=description)
    fitted = registry.entry(name).fitted
    if not parsed.images:
        return _refused("attack: give at least one image")
    if fitted and not parsed.fit_on:
        return _refused(f"attack: {name} is fitted on images first; give them with --fit-on IMAGE...")
    if parsed.fit_on and not fitted:
        return _refused(f"attack: {name} is not fitted on images; drop --fit-on")
    if not fitted and attack.couples:
        return _refused(f"attack: {attack.name} looks at a batch as a whole, and here each image is attacked alone")

    scorer = checkpoint.load(parsed.checkpoint).prepare()
    parsed.out.mkdir(parents=True, exist_ok=True)
    key = jax.random.key(parsed.seed)
    complete = True
    if fitted:
        key, fit_key = jax.random.split(key)
        training = read_images(parsed.fit_on, scorer.spec.input_size)
        complete = len(training) == len(parsed.fit_on)
        if not training:
            raise ValueError("none of the images of --fit-on could be read")
        attack = _fit(attack, scorer, fit_key, [image for _, image in training], parsed.out)
    read = read_images(parsed.images, scorer.spec.input_size)
    rows = _attack_each(attack, scorer, key, read, parsed.out)
    with (parsed.out / "scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    reported = "attacked_8bit" if parsed.to_8bit else "attacked"
    for row in rows:
        suffix = ", as 8-bit PNG" if parsed.to_8bit else ""
        out.print(f"{row['image']}: {row['clean']:.3f} -> {row[reported]:.3f} ({attack.name}{suffix})", markup=False)
    return 0 if complete and len(read) == len(parsed.images) else 1


COLUMNS: tuple[str, ...] = (
    "image",
    "adversarial",
    "difference",
    "difference_gain",
    "attack",
    "clean",
    "attacked",
    "attacked_8bit",
)
"""Of scores.csv."""


def _attack_each(
    attack: Attack, scorer: Scorer | PreparedScorer, key: Array, read: list[tuple[Path, np.ndarray]], folder: Path
) -> list[dict[str, Any]]:
    """Attack images one by one, each with the key that it has in `riqa evaluate`; write pictures, return CSV rows."""
    keys = example_keys(key, len(read))
    rows, taken = [], {"universal"}
    with bar() as progress:
        task = progress.add_task("attacking", total=len(read), note=attack.name)
        for i, (path, image) in enumerate(read):
            clean = jnp.asarray(to_float(image))[None]
            adversarial = attack(scorer, keys[i : i + 1], clean)
            pixels = np.round(np.asarray(adversarial[0]) * 255).astype(np.uint8)
            stem = _free_stem(path.stem, i, taken)
            picture, gain = difference_picture(pixels.astype(int) - image)
            target, difference = folder / f"{stem}.png", folder / f"{stem}_difference.png"
            Image.fromarray(pixels).save(target)
            Image.fromarray(picture).save(difference)
            rows.append(
                {
                    "image": str(path),
                    "adversarial": str(target),
                    "difference": str(difference),
                    "difference_gain": gain,
                    "attack": attack.name,
                    "clean": float(scorer(clean)[0]),
                    "attacked": float(scorer(adversarial)[0]),
                    "attacked_8bit": float(scorer(jnp.asarray(to_float(pixels))[None])[0]),
                }
            )
            progress.update(task, advance=1)
    return rows


def _fit(attack: Any, scorer: Scorer | PreparedScorer, key: Array, images: list[np.ndarray], folder: Path) -> Attack:
    """The fitted universal attack; its perturbation goes to universal.npy ([0,1] units) and universal.png."""
    with bar() as progress:
        task = progress.add_task("fitting", total=attack.epochs, note=f"{len(images)} images")
        found = attack.fit(
            scorer, key, to_float(np.stack(images)),
            on_epoch=lambda epoch, mean: progress.update(task, completed=epoch + 1, note=f"mean {mean:.3f}"),
        )  # fmt: skip
    perturbation: Float[np.ndarray, "h w c"] = np.asarray(found.eps * found.pattern, np.float32)
    np.save(folder / "universal.npy", perturbation)
    picture, gain = difference_picture(perturbation * 255)
    Image.fromarray(picture).save(folder / "universal.png")
    out.print(f"{folder / 'universal.npy'}: fitted on {len(images)} images; universal.png shows it {gain} times larger")
    return found


def _free_stem(stem: str, index: int, taken: set[str]) -> str:
    """A file name that neither another image nor its difference has; added to `taken`."""
    while stem in taken or f"{stem}_difference" in taken:
        stem = f"{stem}_{index}"
    taken |= {stem, f"{stem}_difference"}
    return stem


def _refused(message: str) -> int:
    err.print(f"riqa {message}", markup=False)
    return 2
