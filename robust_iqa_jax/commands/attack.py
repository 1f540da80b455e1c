"""`riqa attack IMAGE...`: adversarial versions of photos against a trained model, as lossless PNG and a CSV of scores.
Example: riqa attack photo.jpg --checkpoint accurate-lite0 --attack pgd --eps 4/255 --steps 8 --out attacked"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro
from jaxtyping import Array, Float
from PIL import Image

from robust_iqa_jax.commands.arguments import existing
from robust_iqa_jax.commands.attack_settings import parsed_attack, settings_table
from robust_iqa_jax.commands.progress import bar, err, out
from robust_iqa_jax.files import check_folder, check_outputs, own_file, write_text
from robust_iqa_jax.folder_lock import locked
from robust_iqa_jax.labels import label_note

if TYPE_CHECKING:
    from robust_iqa_jax.attacks.core import Attack
    from robust_iqa_jax.models.scorer import AnyScorer

LARGEST = 24_000_000
"""Pixels of a photo that is attacked at its own size; larger ones are at the model's. An attack holds about ten copies
of its image as float32: 3 GB at this size."""

Size = Literal["own", "model"]


@dataclass(frozen=True)
class AttackArgs:
    """Attack photos."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image files."""
    checkpoint: Path | None = None
    """Name of a model that ships, checkpoint, or work folder of a training run; robust-lite0 where not given."""
    attack: str = "pgd"
    """Name of an attack; those that there are, with their own options, stand above."""
    size: Size | None = None
    """Pixels that are attacked and written: the photo's own, which the model resizes as it does when it scores, or
    the model's input ("model": faster, and the photo is shrunk first). Attacks that are fitted first are made at
    the model's size; "own" for all others where not given."""
    fit_on: tuple[Path, ...] = ()
    """Images that an attack is fitted on which has to be; others than the attacked ones."""
    to_8bit: bool = False
    """Print the scores of the PNG files instead of those before rounding to 8 bits (the CSV has both)."""
    seed: int = 0
    """Of the attack's random numbers."""
    out: Path = Path("runs/attacked")
    """Folder for NAME.png (adversarial), NAME_difference.png (128 + gain * difference) and scores.csv. Photos and files
    that riqa did not write are never replaced."""


def main(args: list[str]) -> int:
    """1 where an image could not be read, 2 for bad arguments."""
    from robust_iqa_jax.attacks import registry

    description = f"{__doc__}\n\nAttacks and their options:\n{settings_table()}"
    try:
        given, settings = parsed_attack(AttackArgs, args, "riqa attack", description)
        attack = registry.make(given.attack, **settings)
    except ValueError as error:
        return _refused(str(error))
    fitted = registry.entry(given.attack).fitted
    if not given.images:
        return _refused("attack: give at least one image")
    if fitted and not given.fit_on:
        return _refused(f"attack: {given.attack} is fitted on images first; give them with --fit-on IMAGE...")
    if given.fit_on and not fitted:
        return _refused(f"attack: {given.attack} is not fitted on images; drop --fit-on")
    if not fitted and attack.couples:
        return _refused(f"attack: {attack.name} looks at a batch as a whole, and here each image is attacked alone")
    if fitted and given.size == "own":
        return _refused(f"attack: {given.attack} is fitted at the model's size; drop --size own")
    existing(given.images)
    existing(given.fit_on)
    stems = _stems(given.images)
    outputs = [given.out / name for stem in stems for name in (f"{stem}.png", f"{stem}_difference.png")]
    outputs += [given.out / name for name in ("scores.csv", *(("universal.npy", "universal.png") if fitted else ()))]
    check_outputs(outputs, (*given.images, *given.fit_on))
    check_folder(given.out)
    with locked(given.out):
        return _attack(given, attack, fitted, stems)


def _attack(given: AttackArgs, attack: Any, fitted: bool, stems: list[str]) -> int:
    """Attack the photos and write everything; the exit status."""
    import jax

    from robust_iqa_jax.models import checkpoint

    scorer = checkpoint.load(given.checkpoint).prepare()
    if note := label_note(scorer.label):
        err.print(note, markup=False)
    key = jax.random.key(given.seed)
    complete = True
    model_size = scorer.spec.input_size
    if fitted:
        key, fit_key = jax.random.split(key)
        training = [photo for path in given.fit_on if (photo := _read(path, "model", model_size)) is not None]
        complete = len(training) == len(given.fit_on)
        if not training:
            raise ValueError("none of the images of --fit-on could be read")
        attack = _fit(attack, scorer, fit_key, training, given.out)
    size: Size = given.size or ("model" if fitted else "own")
    rows = _attack_each(attack, scorer, key, given.images, stems, size, given.out)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    write_text(given.out / "scores.csv", text.getvalue())
    score, suffix = ("attacked_8bit", ", as 8-bit PNG") if given.to_8bit else ("attacked", "")
    for row in rows:
        out.print(f"{row['image']}: {row['clean']:.3f} -> {row[score]:.3f} ({attack.name}{suffix})", markup=False)
    return 0 if complete and len(rows) == len(given.images) else 1


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
    attack: "Attack",
    scorer: "AnyScorer",
    key: Array,
    paths: tuple[Path, ...],
    stems: list[str],
    size: Size,
    folder: Path,
) -> list[dict[str, Any]]:
    """Attack images one by one, each with the key that it has in `riqa evaluate`; write pictures, return CSV rows.

    Images that cannot be read are named on standard error and left out.
    """
    from robust_iqa_jax.attacks.arguments import example_keys
    from robust_iqa_jax.evaluation.attacked_photo import attack_photo
    from robust_iqa_jax.evaluation.pictures import difference_picture

    keys = example_keys(key, len(paths))
    rows = []
    with bar() as progress:
        task = progress.add_task("attacking", total=len(paths), note=attack.name)
        for path, stem, own_key in zip(paths, stems, keys, strict=True):
            photo = _read(path, size, scorer.spec.input_size)
            progress.update(task, advance=1)
            if photo is None:
                continue
            result = attack_photo(attack, scorer, own_key, photo)
            picture, gain = difference_picture(result.change)
            target, difference = folder / f"{stem}.png", folder / f"{stem}_difference.png"
            save_png(target, result.pixels)
            save_png(difference, picture)
            rows.append(
                {
                    "image": str(path),
                    "adversarial": str(target),
                    "difference": str(difference),
                    "difference_gain": gain,
                    "attack": attack.name,
                    "clean": result.clean,
                    "attacked": result.attacked,
                    "attacked_8bit": result.attacked_8bit,
                }
            )
    return rows


def _read(path: Path, size: Size, model_size: tuple[int, int]) -> Float[np.ndarray, "h w 3"] | None:
    """The photo in [0,1]; None, and a line on standard error, for one that cannot be read. One of more than LARGEST
    pixels gets the model's size, with a line that says so."""
    from robust_iqa_jax.data.images import ImageError, at_size, read_pixels

    try:
        pixels = read_pixels(path)
    except ImageError as error:
        err.print(f"riqa: {error}", markup=False)
        return None
    height, width = pixels.shape[:2]
    if size == "own" and height * width > LARGEST:
        size = "model"
        err.print(
            f"{path}: {width}x{height} is too large for an attack at its own size; written at the model's", markup=False
        )
    return at_size(pixels, (height, width) if size == "own" else model_size)


def _fit(attack: Any, scorer: "AnyScorer", key: Array, photos: list[np.ndarray], folder: Path) -> "Attack":
    """The fitted attack; a universal perturbation goes to universal.npy ([0,1] units) and universal.png."""
    from robust_iqa_jax.attacks.uap import Universal
    from robust_iqa_jax.evaluation.pictures import difference_picture

    with bar() as progress:
        task = progress.add_task("fitting", total=attack.epochs, note=f"{len(photos)} images")
        fitted = attack.fit(
            scorer, key, np.stack(photos),
            on_epoch=lambda epoch, mean: progress.update(task, completed=epoch + 1, note=f"mean {mean:.3f}"),
        )  # fmt: skip
    if not isinstance(fitted, Universal):
        out.print(f"{attack.label}: fitted on {len(photos)} images")
        return fitted
    perturbation: Float[np.ndarray, "h w c"] = np.asarray(fitted.eps * fitted.pattern, np.float32)
    with own_file(folder / "universal.npy") as temporary, temporary.open("wb") as file:
        np.save(file, perturbation)
    picture, gain = difference_picture(perturbation * 255)
    save_png(folder / "universal.png", picture)
    out.print(f"{folder / 'universal.npy'}: fitted on {len(photos)} images; universal.png shows it {gain} times larger")
    return fitted


def save_png(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 pixels losslessly, whole or not at all."""
    with own_file(path) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG")


def _stems(paths: tuple[Path, ...]) -> list[str]:
    """A file name for each image that neither another image nor its difference has, on no file system."""
    stems, taken = [], {"universal"}
    for i, path in enumerate(paths):
        stem = path.stem
        while taken & {stem.casefold(), f"{stem}_difference".casefold()}:
            stem = f"{stem}_{i}"
        taken |= {stem.casefold(), f"{stem}_difference".casefold()}
        stems.append(stem)
    return stems


def _refused(message: str) -> int:
    err.print(f"riqa {message}", markup=False)
    return 2
