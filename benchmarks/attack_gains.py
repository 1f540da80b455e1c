"""How far does each attack move a model's scores, and are the strong ones the strongest?

    python -m robust_iqa_jax.benchmarks.attack_gains --models base=runs/base robust=runs/robust \
        --images nips2017/images --size 299 299 --fit-on kodak --out runs/gains --results benchmarks/results

Every attack with a ball gets the same one. A killed run goes on from its finished cells.
"""

import dataclasses
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robust_iqa_jax.attacks import registry
from robust_iqa_jax.benchmarks.machine import machine
from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.data.images import at_size, read_pixels, to_float
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.data.photo_set import evenly_spread
from robust_iqa_jax.evaluation.batches import even_batches
from robust_iqa_jax.evaluation.results import ResultFolder, cached
from robust_iqa_jax.files import write_text
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.scorer import AnyScorer

CELLS: dict[str, tuple[str, dict[str, Any]]] = {
    "FGSM": ("fgsm", {}),
    "I-FGSM": ("i-fgsm", {"steps": 10}),
    "MI-FGSM": ("mi-fgsm", {"steps": 20, "keep_best": True}),
    "AMI-FGSM": ("ami-fgsm", {"steps": 10}),
    "PGD-1": ("pgd", {"steps": 1}),
    "PGD-8": ("pgd", {"steps": 8}),
    "PGD-8, best of 3 starts": ("pgd", {"steps": 8, "restarts": 3}),
    "APGD-20": ("apgd", {"steps": 20}),
    "Square, 100 queries": ("square", {"queries": 100}),
    "suite": ("suite", {"steps": 20, "restarts": 1, "queries": 100}),
    "multi-square, 100 queries": ("multi-square", {"queries": 100, "direction": "raise"}),
    "Sparse-RS, 150 pixels, 100 queries": ("sparse-rs", {"queries": 100}),
    "Patch-RS, 13 x 13 pixels, 100 queries": ("patch-rs", {"queries": 100}),
    "gamma and unsharp, 100 queries": ("gamma-unsharp", {"generations": 3}),
    "NES, 80 queries": ("nes", {"steps": 4, "samples": 20}),
    "UAP": ("uap", {"epochs": 40}),
    "UAP, cumulative": ("uap-cumulative", {"epochs": 40}),
    "UAP, generative": ("uap-generative", {"epochs": 40}),
    "FACPA": ("facpa", {"epochs": 40, "width": 16}),
    "stAdv": ("stadv", {"steps": 5}),
    "Korhonen": ("korhonen", {"steps": 10}),
    "IOI": ("ioi", {}),
    "perceptual (SSIM)": ("perceptual", {"steps": 10}),
    "MADC": ("madc", {}),
    "colour curves": ("color-curves", {"steps": 10}),
    "Carlini-Wagner, 10 points": ("carlini-wagner", {"gain": 10.0, "steps": 15, "searches": 3}),
    "FMN, 10 points": ("fmn", {"gain": 10.0, "steps": 45}),
    "uniform noise": ("uniform-noise", {}),
    "Gaussian noise": ("gaussian-noise", {}),
    "JPEG": ("jpeg", {}),
    "8 bit": ("quantise", {}),
}
"""Row of the table -> name in the registry, settings besides eps."""

IN_BALL = ("FGSM", "I-FGSM", "MI-FGSM", "AMI-FGSM", "PGD-1", "PGD-8", "PGD-8, best of 3 starts", "APGD-20")
"""Gradient attacks that share one linf ball, of which APGD is expected to be the strongest or nearly so."""

ORDER = [
    ("PGD-1", "PGD-8"),
    ("PGD-8", "PGD-8, best of 3 starts"),
    ("MI-FGSM", "suite"),
    ("APGD-20", "suite"),
    ("Square, 100 queries", "suite"),
]
"""Pairs of which the second is expected to gain at least as much; those before "suite" are its members."""


@dataclass(frozen=True)
class Args:
    """Models, images, and where everything goes."""

    models: tuple[str, ...]
    """NAME=CHECKPOINT; the first is the baseline, whose range of clean scores scales all gains."""
    images: Path
    """Folder of images, or a label table (CSV), of whose photos those of `group` are attacked."""
    size: tuple[int, int]
    """Height and width at which they are scored and attacked."""
    fit_on: Path
    """Folder of other images, on which universal perturbations are fitted (centre crops of the size)."""
    group: str | None = None
    """Value of the table's split or fold column, such as the fold that the models were not trained on."""
    eps: float = 4 / 255
    photos: int | None = None
    """How many images, evenly spread; all where not given."""
    cells: tuple[str, ...] = tuple(CELLS)
    batch_size: int = 10
    out: Path = Path("runs/attack_gains")
    """Folder for the finished cells."""
    results: Path | None = None
    """Folder for the dated table."""


def main(args: Args) -> None:
    """Run what is missing, print and store the table."""
    count, load = source(args)
    images = np.stack([at_size(load(i), args.size) for i in evenly_spread(count, args.photos)])
    fitted_on = np.stack([to_float(_crop(read_pixels(path), args.size)) for path in sorted(args.fit_on.glob("*.png"))])
    cells: dict[tuple[str, str], dict[str, Any]] = {}
    finished = ResultFolder(args.out)
    for pair in args.models:
        model, _, folder = pair.partition("=")
        scorer = checkpoint.load(Path(folder))
        scorer = dataclasses.replace(scorer, spec=dataclasses.replace(scorer.spec, input_size=args.size)).prepare()
        for cell in args.cells:
            compute = partial(run, scorer, cell, images, fitted_on, args)
            depends_on = (CELLS[cell], scorer, images, fitted_on, args.eps, args.batch_size)
            found = cells[model, cell] = cached(finished, f"{model}, {cell}", compute, *depends_on)
            err.print(f"{model}, {cell}: {np.mean(found['gain']):+.2f} points, {found['seconds']:.1f} s")
    table = markdown(args, cells, len(images))
    out.print(table, markup=False, highlight=False)
    if args.results is not None:
        name = f"{time.strftime('%Y-%m-%d')}_attack_gains_{args.images.parent.name}.md"
        write_text(args.results / name, table)


def source(args: Args) -> tuple[int, Callable[[int], np.ndarray]]:
    """How many images there are, and index -> uint8 (h, w, 3).

    Raises:
      ValueError: a table without a group.
    """
    if args.images.is_dir():
        files = sorted(path for path in args.images.iterdir() if path.suffix.lower() in (".png", ".jpg", ".webp"))
        return len(files), lambda i: read_pixels(files[i])
    if args.group is None:
        raise ValueError(f"attack_gains: {args.images} is a table; say which --group of it is attacked")
    _, photos = split_photos(open_photos(str(args.images)), args.group)
    return len(photos), photos.load


def run(scorer: AnyScorer, cell: str, images: np.ndarray, fitted_on: np.ndarray, args: Args) -> dict[str, Any]:
    """Clean scores, gains and largest changes of every image, and the seconds that it took, compilation included."""
    name, settings = CELLS[cell]
    began = time.perf_counter()
    if registry.entry(name).eps is not None:
        settings = {**settings, "eps": args.eps}
    attack = registry.make(name, **settings)
    if registry.entry(name).fitted:
        attack = attack.fit(scorer, jax.random.key(1), fitted_on)
    clean, gain, largest = [], [], []
    for index in even_batches(len(images), args.batch_size):
        batch = images[np.asarray(index)]
        adversarial = np.asarray(attack(scorer, jax.random.fold_in(jax.random.key(0), index[0]), jnp.asarray(batch)))
        scores = [np.asarray(scorer(jnp.asarray(x)), np.float64) for x in (batch, adversarial)]
        clean += scores[0].tolist()
        gain += (scores[1] - scores[0]).tolist()
        largest += np.abs(adversarial - batch).max((1, 2, 3)).tolist()
    found = {"clean": clean, "gain": gain, "largest": largest}
    return {**{name: values[: len(images)] for name, values in found.items()}, "seconds": time.perf_counter() - began}


def markdown(args: Args, cells: dict[tuple[str, str], dict[str, Any]], count: int) -> str:
    """The table, with what was expected of the order below it."""
    names = [pair.partition("=")[0] for pair in args.models]
    clean = np.asarray(cells[names[0], args.cells[0]]["clean"])
    reach = clean.max() - clean.min()
    lines = [
        f"# Gains of all attacks: {count} images of {args.images.parent.name} at {args.size[0]}x{args.size[1]}",
        "",
    ]
    lines += [f"{key}: {value}  " for key, value in machine().items()]
    lines += [
        "",
        f"Mean change of the score in points, and as a share of the range of {names[0]}'s clean scores "
        f"({reach:.1f} points). Attacks with a ball: eps {args.eps * 255:.3g}/255. Largest change of a pixel: median.",
        "",
        "| attack | " + " | ".join(f"{n}: points | share | s an image" for n in names) + " | largest change / 255 |",
        "| --- |" + " --- |" * (3 * len(names) + 1),
    ]
    for cell in args.cells:
        row = [cell]
        for name in names:
            found = cells[name, cell]
            mean = float(np.mean(found["gain"]))
            row += [f"{mean:+.2f}", f"{mean / reach:+.3f}", f"{found['seconds'] / count:.2f}"]
        row.append(f"{255 * float(np.median(cells[names[0], cell]['largest'])):.1f}")
        lines.append("| " + " | ".join(row) + " |")
    lines += [""]
    for name in names:
        for weak, strong in ORDER:
            if weak in args.cells and strong in args.cells:
                gains = [np.asarray(cells[name, cell]["gain"]) for cell in (weak, strong)]
                lines.append(
                    f"{name}: {strong} against {weak}: {gains[1].mean():.3f} and {gains[0].mean():.3f} points on "
                    f"average, at least as strong on {np.mean(gains[1] >= gains[0] - 1e-4):.0%} of the images.  "
                )
        inside = {cell: np.mean(cells[name, cell]["gain"]) for cell in args.cells if cell in IN_BALL}
        if "APGD-20" in inside:
            best = max(inside, key=lambda cell: inside[cell])
            lines.append(
                f"{name}: the strongest single attack in the ball is {best}; APGD-20 gains "
                f"{inside['APGD-20'] / inside[best]:.1%} of it.  "
            )
    return "\n".join(lines) + "\n"


def _crop(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    top, left = ((side - wanted) // 2 for side, wanted in zip(image.shape[:2], size, strict=True))
    if min(top, left) < 0:
        raise ValueError(f"attack_gains: an image of {image.shape[:2]} has no crop of {size}; fit on larger ones")
    return image[top : top + size[0], left : left + size[1]]


if __name__ == "__main__":
    main(parsed(Args, sys.argv[1:], "attack_gains", __doc__))
