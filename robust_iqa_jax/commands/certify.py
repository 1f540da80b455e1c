"""`riqa certify IMAGE...`: the score of a photo under noise, and an interval that no small change of it can leave.
Example: riqa certify photo.jpg --sigma 0.12 --radius 0.12 --samples 1000"""

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro
from rich.markup import escape
from rich.table import Column, Table

from robust_iqa_jax.commands.arguments import number_text, parsed
from robust_iqa_jax.commands.progress import bar, err, out

if TYPE_CHECKING:
    from robust_iqa_jax.defenses.median_smoothing import Denoiser, Smoothing
    from robust_iqa_jax.models.scorer import Scorer

PIXELS = 4_000_000
"""Of the noisy photos that are scored at a time."""
CHUNK = 32
"""Most noisy photos at a time."""


@dataclass(frozen=True)
class CertifyArgs:
    """Certify photos: with the chosen confidence, no change of l2 length up to --radius moves the median score under
    noise out of the interval (median smoothing, arXiv 2007.03730)."""

    images: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Image files, or folders: the photos directly inside, by name."""
    checkpoint: Path | None = None
    """Name of a model that ships, checkpoint, or work folder of a training run; robust-lite0 where not given."""
    sigma: float = 0.12
    """Standard deviation of the noise, in [0,1] pixels. More noise certifies larger radii and costs accuracy."""
    radius: float = 0.12
    """l2 length of a change over all pixels and channels, in [0,1] pixels. Up to about 2.4 sigma at 1000 samples."""
    samples: int = 1000
    """Noisy copies of each photo that are scored."""
    alpha: float = 0.001
    """Chance, over the noise, that a photo's interval is wrong."""
    denoiser: str | None = None
    """Applied to the noisy photos: one of `riqa evaluate --defense` that draws nothing, such as blur:1 or median:3."""
    exact: bool = False
    """The closed form in place of noise: certain, around the plain score, of models that are Lipschitz by construction
    (architecture lipschitz). --sigma, --samples, --alpha and --denoiser have no meaning there."""
    norm: Literal["l2", "linf"] = "l2"
    """What --radius is a length in; linf, the largest change of a pixel such as 4/255, with --exact only."""
    data: str | None = None
    """Label table of the photos (CSV): how far their order agrees with people's, and what of that is certified."""
    image_column: str | None = None
    """Columns of the label table, where their names are not recognised."""
    score_column: str | None = None
    group_column: str | None = None
    image_dir: str | None = None
    """Folder of a table's images, where they are not beside it or in images/."""
    size: Literal["model", "own"] = "model"
    """Pixels that are changed: what the model sees, or the photo's own, which the model resizes."""
    seed: int = 0
    """Of the noise."""
    json: bool = False
    """Print a list of {"image", "score", "low", "high", "plain", "model", "radius"}, with "sigma", "samples" and
    "alpha", or, with --exact, "norm"; with --data also "mos"."""


def main(args: list[str]) -> int:
    """1 where an image could not be read, 2 for bad arguments."""
    given = parsed(CertifyArgs, args, "riqa certify", __doc__)
    if not given.images:
        err.print("riqa certify: give at least one image", markup=False)
        return 2
    from robust_iqa_jax.defenses.median_smoothing import Smoothing

    smoothing = None
    try:
        if given.exact:
            _check_exact(given)
        elif given.norm == "linf":
            raise ValueError("certify: --norm linf: noise certifies l2 changes; give --exact, or drop it")
        else:
            smoothing = Smoothing(given.sigma, given.radius, given.samples, given.alpha)
        denoiser = None if given.denoiser is None else _denoiser(given.denoiser)
    except ValueError as error:
        err.print(f"riqa {error}", markup=False)
        return 2
    return _certify(given, smoothing, denoiser)


def _check_exact(given: CertifyArgs) -> None:
    """Raise ValueError for a radius of no use, and for options that mean nothing without noise."""
    from robust_iqa_jax.checks import check_eps

    for name in ("sigma", "samples", "alpha", "denoiser"):
        if getattr(given, name) != getattr(CertifyArgs, name):
            raise ValueError(f"certify: --{name} is of the noise, and --exact has none; drop one of the two")
    check_eps(given.radius, given.norm, "certify: --radius")


def _denoiser(text: str) -> "Denoiser":
    from robust_iqa_jax.defenses.purification import parse_defense

    defense = parse_defense(text)
    if defense.random:
        raise ValueError(f"certify: --denoiser {text} draws; give one that does not, such as blur:1 or median:3")
    return partial(defense.purifier, None)  # pyright: ignore[reportArgumentType]


def _certify(given: CertifyArgs, smoothing: "Smoothing | None", denoiser: "Denoiser | None") -> int:
    """Certify the photos one by one and print what came of it; the exit status."""
    from robust_iqa_jax.commands.score import from_first_readable, opened_scorer, refusals, remark
    from robust_iqa_jax.data.photo_paths import photo_paths

    refused, complain = refusals()
    paths = from_first_readable(photo_paths(given.images, complain, remark), complain)
    if not paths:
        if given.json:
            print("[]")
        return 1
    people = None if given.data is None else _scores_of(given, paths)
    scorer, model = opened_scorer(given.checkpoint)
    rows = _rows(given, smoothing, denoiser, scorer, paths, complain)
    if people is not None:
        rows = [{**row, "mos": people[Path(row["image"]).name]} for row in rows]
    if given.json:
        how = {"radius": given.radius, "norm": given.norm} if smoothing is None else dataclasses.asdict(smoothing)
        facts = {"model": model, **how}
        print(json.dumps([{**row, **facts} for row in rows], indent=2))
    else:
        _print(given, scorer, rows)
    return 1 if refused else 0


def _scores_of(given: CertifyArgs, paths: list[str]) -> dict[str, float]:
    """File name -> people's score; raises ValueError for a photo that the table has not, or twice by that name."""
    from robust_iqa_jax.commands.arguments import columns
    from robust_iqa_jax.data.open import open_photos

    assert given.data is not None
    table = open_photos(given.data, **columns(given))
    scores = {Path(name).name: float(score) for name, score in zip(table.names, table.scores, strict=True)}
    rows = Counter(Path(name).name for name in table.names)
    for name in (Path(path).name for path in paths):
        if not rows[name]:
            raise ValueError(f"--data {given.data}: has no row of {name}; drop the photo, or the option")
        if rows[name] > 1:
            raise ValueError(f"--data {given.data}: has {rows[name]} photos called {name}; give a table of one folder")
    return scores


def _rows(
    given: CertifyArgs,
    smoothing: "Smoothing | None",
    denoiser: "Denoiser | None",
    scorer: "Scorer",
    paths: list[str],
    complain: Any,
) -> list[dict[str, Any]]:
    """One row a photo that can be read; each has the noise that it has alone in its place."""
    import jax
    import jax.numpy as jnp

    from robust_iqa_jax.attacks.arguments import example_keys
    from robust_iqa_jax.data.images import ImageError, at_size, read_pixels
    from robust_iqa_jax.defenses.median_smoothing import certificates
    from robust_iqa_jax.evaluation.guarantee import guaranteed_interval

    rows, prepared = [], scorer.prepare()
    scores = given.samples if smoothing is not None else 1
    with bar() as progress:
        task = progress.add_task("certifying", total=len(paths) * scores, note="scores")
        for path, key in zip(paths, example_keys(jax.random.key(given.seed), len(paths)), strict=True):
            try:
                pixels = read_pixels(path)
            except ImageError as error:
                complain(str(error))
                progress.advance(task, scores)
                continue
            height, width = size = pixels.shape[:2] if given.size == "own" else scorer.spec.input_size
            image = at_size(pixels, size)[None]
            if smoothing is None:
                plain = float(prepared(jnp.asarray(image))[0])
                low, high = guaranteed_interval(scorer, plain, given.radius, given.norm, (height, width))
                progress.advance(task, 1)
                rows.append({"image": path, "score": plain, "low": low, "high": high, "plain": plain})
                continue
            (certificate,) = certificates(
                prepared, key, image, smoothing,
                denoiser=denoiser,
                chunk=max(1, min(CHUNK, PIXELS // (height * width))),
                on_chunk=lambda scores: progress.advance(task, scores),
            )  # fmt: skip
            rows.append({"image": path, **dataclasses.asdict(certificate)})
    return rows


def _print(given: CertifyArgs, scorer: "Scorer", rows: list[dict[str, Any]]) -> None:
    height, width = scorer.spec.input_size
    where = "the photo's own pixels" if given.size == "own" else f"the model's {width}x{height} pixels"
    sure = "Certain" if given.exact else f"{100 * (1 - given.alpha):g} % sure of each photo"
    length = f"{given.norm} length {number_text(given.radius)}"
    out.print(f"{sure}: no change of {length} in {where} moves the score out of its interval", markup=False)
    scale = f"{scorer.label}, {scorer.calibration.low:.1f} to {scorer.calibration.high:.1f}"
    score = f"score ({scale})" if given.exact else f"median score under noise ({scale})"
    table = Table(Column("image", overflow="fold"), score, "from", "to", "score without noise")
    for row in rows:
        table.add_row(escape(row["image"]), *(f"{row[name]:.3f}" for name in ("score", "low", "high", "plain")))
    out.print(table)
    if given.data is not None:
        out.print(_agreement(rows), markup=False)


def _agreement(rows: list[dict[str, Any]]) -> str:
    """SROCC of these scores with people's, and between what the intervals leave of it."""
    from robust_iqa_jax.metrics.accuracy import srocc
    from robust_iqa_jax.metrics.ranks import srocc_interval

    if len(rows) < 3:
        return f"SROCC with people: {len(rows)} photos have no order to speak of"
    score, low, high, mos = (np.array([row[name] for row in rows]) for name in ("score", "low", "high", "mos"))
    least, most = srocc_interval(low, high, mos)
    return (
        f"SROCC with people {srocc(score, mos):.3f} over {len(rows)} photos; scores in their intervals: between "
        f"{least:.3f} and {most:.3f}"
    )
