"""What certificates promise, what they cost, and how close attacks come: accuracy, widths and gains on rated photos.

    python -m robust_iqa_jax.benchmarks.certified --models accurate-lite0 robust-lite0 runs/lipschitz \\
        --data clive/scores.csv --group 0 --photos 100 --out runs/certified --results benchmarks/results

Models of orthogonal layers are certified by their weights (evaluation.guarantee), all others by noise
(defenses.median_smoothing). A killed run goes on from its finished cells.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from robust_iqa_jax.attacks import registry
from robust_iqa_jax.attacks.eot import EOT
from robust_iqa_jax.benchmarks.certified_rows import Certified, markdown, plot
from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.data.photo_set import evenly_spread
from robust_iqa_jax.defenses.median_smoothing import Smoothing, noisy_scores
from robust_iqa_jax.defenses.purification import Defense
from robust_iqa_jax.defenses.random_purifiers import Noise
from robust_iqa_jax.evaluation.batches import even_batches
from robust_iqa_jax.evaluation.guarantee import guaranteed_change
from robust_iqa_jax.evaluation.results import ResultFolder, cached
from robust_iqa_jax.evaluation.source import code_digest
from robust_iqa_jax.files import write_text
from robust_iqa_jax.metrics.accuracy import srocc
from robust_iqa_jax.metrics.order_statistics import certifying_ranks
from robust_iqa_jax.metrics.ranks import srocc_interval
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.lipschitz import RECORD
from robust_iqa_jax.models.scorer import Scorer
from robust_iqa_jax.report.photos import pixels
from robust_iqa_jax.report.plots import png

DIRECTIONS = ("raise", "lower")


@dataclass(frozen=True)
class Args:
    """Models, photos, noises, and where everything goes."""

    models: tuple[str, ...]
    """Names of shipped models, or work folders."""
    data: str
    """Label table, or folder of an unpacked archive."""
    group: str
    """Value of its split or fold column: photos that the models were not trained on."""
    photos: int | None = None
    """How many, evenly spread; all where not given."""
    sigma: tuple[float, ...] = (0.06, 0.12)
    """Standard deviations of the noise, in [0,1] pixels."""
    ratios: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    """Radii that are certified, in sigmas."""
    attacked: float = 1.0
    """Of these, the radius at which the smoothed score is attacked."""
    radii: tuple[float, ...] = (0.06, 0.12, 0.25, 0.5, 1.0)
    """l2 radii for models that need no noise; they are attacked at each."""
    linf: tuple[float, ...] = (1 / 255, 2 / 255, 4 / 255)
    """l-infinity sizes for the same."""
    samples: int = 100
    """Noisy scores a photo, of the clean one and of each attacked one."""
    alpha: float = 0.001
    """Chance that a photo's interval is wrong."""
    steps: int = 10
    """Of each attack."""
    draws: int = 4
    """Noises that each step of an attack averages over."""
    batch_size: int = 10
    out: Path = Path("runs/certified")
    """Folder for the finished cells."""
    results: Path | None = None
    """Folder for the dated table and plot."""


def main(args: Args) -> None:
    """Run what is missing, print and store table and plot.

    Raises:
      ValueError: an attacked radius that is not certified, too few samples for a radius.
    """
    if args.attacked not in args.ratios:
        raise ValueError(
            f"--attacked {args.attacked:g}: is none of --ratios {' '.join(map('{:g}'.format, args.ratios))}"
        )
    for ratio in args.ratios:
        certifying_ranks(args.samples, ratio, args.alpha)
    _, photos = split_photos(open_photos(args.data), args.group)
    photos = photos.subset(evenly_spread(len(photos), args.photos))
    finished, rows = ResultFolder(args.out), []
    for name in args.models:
        scorer = checkpoint.load(name)
        images = pixels(photos, scorer.spec.input_size)
        of_model = by_weights if scorer.spec.architecture == RECORD.name else by_noise
        rows += of_model(Path(name).name, scorer, images, np.asarray(photos.scores), args, finished)
    table = markdown(rows, f"Certificates: {len(photos)} photos, group {args.group}", conditions(args))
    out.print(table, markup=False, highlight=False)
    if args.results is not None:
        args.results.mkdir(parents=True, exist_ok=True)
        stem = f"{time.strftime('%Y-%m-%d')}_certified"
        write_text(args.results / f"{stem}.md", table)
        png(plot(rows), args.results / f"{stem}.png")


def by_noise(
    name: str, scorer: Scorer, images: np.ndarray, people: np.ndarray, args: Args, finished: ResultFolder
) -> list[Certified]:
    """Median smoothing at each sigma; attacks average over draws, and their photos get new noise."""
    prepared, rows = scorer.prepare(), []
    plain, _ = cell(finished, f"{name}, plain", lambda: scores_of(prepared, images, args), scorer, images)
    reach = float(np.ptp(plain))
    for sigma in args.sigma:
        way = f"noise {sigma:g}"
        smoothed = Defense(Noise(sigma)).on(prepared)

        def sampled(photos: np.ndarray, seed: int, sigma: float = sigma) -> np.ndarray:
            return noisy_scores(prepared, jax.random.key(seed), jnp.asarray(photos), sigma, args.samples)

        code = code_digest(Smoothing.__module__)
        depends_on = (scorer, images, Defense(Noise(sigma)), args.samples, code)
        noisy, seconds = cell(finished, f"{name}, {way}", lambda: sampled(images, 0), *depends_on)
        reached = {}
        for direction in DIRECTIONS:
            medians = []
            for attack in strong("l2", args.attacked * sigma, direction, args):
                eot = EOT(attack, args.draws)
                compute = lambda: np.median(sampled(run(eot, smoothed, images, args), 1), -1)  # noqa: B023, E731
                label = f"{name}, {way}, {eot.name}, {direction}"
                medians.append(cell(finished, label, compute, eot, args.batch_size, *depends_on)[0])
            reached[direction] = strongest(medians, direction)
        for ratio in args.ratios:
            low, score, high = np.moveaxis(certifying_ranks(args.samples, ratio, args.alpha).of(noisy), -1, 0)
            ends = (score, low, high, reached if ratio == args.attacked else {})
            rows.append(summary(name, way, "l2", ratio * sigma, ends, people, reach, seconds / len(images)))
    return rows


def by_weights(
    name: str, scorer: Scorer, images: np.ndarray, people: np.ndarray, args: Args, finished: ResultFolder
) -> list[Certified]:
    """The closed form at each radius of both norms, with attacks at each."""
    prepared, rows = scorer.prepare(), []
    score, seconds = cell(finished, f"{name}, plain", lambda: scores_of(prepared, images, args), scorer, images)
    reach = float(np.ptp(score))
    sizes_of: dict[Literal["l2", "linf"], tuple[float, ...]] = {"l2": args.radii, "linf": args.linf}
    for norm, sizes in sizes_of.items():
        for radius in sizes:
            change = guaranteed_change(scorer, radius, norm)
            reached = {}
            for direction in DIRECTIONS:
                ran = []
                for attack in strong(norm, radius, direction, args):
                    compute = lambda: scores_of(prepared, run(attack, prepared, images, args), args)  # noqa: B023, E731
                    label = f"{name}, {attack.name}, {norm} {radius:.3g}, {direction}"
                    ran.append(cell(finished, label, compute, attack, args.batch_size, scorer, images)[0])
                reached[direction] = strongest(ran, direction)
            ends = (score, score - change, score + change, reached)
            rows.append(summary(name, "weights", norm, radius, ends, people, reach, seconds / len(images)))
    return rows


def cell(
    finished: ResultFolder, label: str, compute: Callable[[], np.ndarray], *depends_on: Any
) -> tuple[np.ndarray, float]:
    """Scores and the seconds that they took, compilation included; read where they are finished."""

    def timed() -> dict[str, Any]:
        began = time.perf_counter()
        scores = compute().tolist()
        return {"scores": scores, "seconds": time.perf_counter() - began}

    found = cached(finished, label, timed, *depends_on)
    err.print(f"{label}: {found['seconds']:.0f} s", markup=False)
    return np.asarray(found["scores"]), found["seconds"]


def strongest(scores: Sequence[np.ndarray], direction: str) -> np.ndarray:
    """Of several attacks, photo by photo."""
    return np.max(scores, 0) if direction == "raise" else np.min(scores, 0)


def strong(norm: str, eps: float, direction: str, args: Args) -> list[Any]:
    """PGD, APGD and small steps from the photo, of this size."""
    settings = {"eps": eps, "steps": args.steps, "norm": norm, "direction": direction}
    small = {"step_size": eps / args.steps, "keep_best": True}
    makers = (("pgd", {}), ("apgd", {}), ("mi-fgsm", small))
    return [registry.make(name, **settings, **more) for name, more in makers]


def run(attack: Any, target: Any, images: np.ndarray, args: Args) -> np.ndarray:
    """The photos after an attack."""
    return in_batches(lambda x, key: attack(target, key, x), images, args)


def scores_of(prepared: Any, images: np.ndarray, args: Args) -> np.ndarray:
    """Scores (n,) of images (n, h, w, 3), in float64."""
    return in_batches(lambda x, key: prepared(x), images, args).astype(np.float64)


def in_batches(function: Callable[[Any, Any], Any], images: np.ndarray, args: Args) -> np.ndarray:
    """function(images, key) of all images, a batch at a time."""
    parts = []
    for index in even_batches(len(images), args.batch_size):
        batch = jnp.asarray(images[np.asarray(index)])
        parts.append(np.asarray(function(batch, jax.random.fold_in(jax.random.key(0), index[0]))))
    return np.concatenate(parts)[: len(images)]


def summary(
    name: str, way: str, norm: str, radius: float,
    ends: tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]],
    people: np.ndarray, reach: float, seconds: float,
) -> Certified:  # fmt: skip
    """One row; `ends` are scores, both ends of their intervals and, where attacks ran, what they reached."""
    score, low, high, reached = ends
    worst, best = srocc_interval(low, high, people)
    raised = lowered = closest = outside = None
    if reached:
        up, down = reached["raise"], reached["lower"]
        raised, lowered = float((up - score).mean() / reach), float((down - score).mean() / reach)
        shares = np.stack([(up - score) / (high - score), (score - down) / (score - low)])
        closest, outside = float(shares.max()), int((up > high).sum() + (down < low).sum())
    width = float((high - low).mean() / reach)
    agreement = srocc(score, people)
    return Certified(name, way, norm, radius, agreement, worst, best, width, raised, lowered, closest, outside, seconds)


def conditions(args: Args) -> str:
    """How the intervals and the attacks of a table were made."""
    return (
        f"Noise: {args.samples} noisy scores a photo, intervals that hold with probability {1 - args.alpha:g} a photo. "
        f"Attacks: the strongest of PGD, APGD and MI-FGSM, {args.steps} steps, averaging over {args.draws} draws where "
        "there is noise; an attacked photo's score is the median of as many new draws."
    )


if __name__ == "__main__":
    main(parsed(Args, sys.argv[1:], "certified", __doc__))
