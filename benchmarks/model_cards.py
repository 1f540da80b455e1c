"""Puts trained runs into the package as the models that ship, and writes their cards from what was measured.

    python -m robust_iqa_jax.benchmarks.model_cards pack --robust runs/robust_lite0 --accurate runs/accurate_lite0
    riqa evaluate configs/shipped_models.py --out runs/shipped
    riqa evaluate configs/shipped_models_further.py --out runs/further
    riqa evaluate configs/shipped_models_transfer.py --out runs/transfer
    python -m robust_iqa_jax.benchmarks.model_cards card --report runs/shipped/biq2021 --biq2021 biq2021 \\
        --clive clive/scores.csv --further runs/further/biq2021 runs/transfer/biq2021
    python -m robust_iqa_jax.benchmarks.model_cards picture

In a checkout, whose robust_iqa_jax/pretrained/ and docs/ it writes.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from robust_iqa_jax import attacks
from robust_iqa_jax.benchmarks.machine import machine
from robust_iqa_jax.benchmarks.measure import stopwatch
from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.progress import out
from robust_iqa_jax.configs.shipped_models import EPS, SMALL_STEPS
from robust_iqa_jax.data.distorted_photos import embedded_photo
from robust_iqa_jax.data.images import at_size, to_float
from robust_iqa_jax.data.open import open_photos
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.devices import ONE
from robust_iqa_jax.evaluation.predictions import predict, timed_predictions
from robust_iqa_jax.evaluation.results import ResultFolder
from robust_iqa_jax.files import whole_file
from robust_iqa_jax.metrics.accuracy import plcc, srocc
from robust_iqa_jax.metrics.bootstrap import bootstrap_interval
from robust_iqa_jax.metrics.scores import Scores
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.scorer import Scorer
from robust_iqa_jax.models.shipped import DEFAULT, FOLDER, MEASURED, SHIPPED, UNDEFENDED
from robust_iqa_jax.report.files import read_report
from robust_iqa_jax.report.model_card import Accuracy, Probe, model_card
from robust_iqa_jax.report.types import GainRow, ReportData
from robust_iqa_jax.wording import attack_text

EXAMPLE = "coffee"
"""Embedded photo whose score the description keeps: what an installed copy must give."""
HELD_OUT = "0"
"""Fold of CLIVE that neither model was trained on."""
LIMIT = 12_000_000
"""Bytes of a file of weights."""


@dataclass(frozen=True)
class Pack:
    """Store the models of two runs in the package, in half precision."""

    robust: Path
    """Work folder of the run that becomes robust-lite0."""
    accurate: Path
    """Work folder of the run that becomes accurate-lite0."""


@dataclass(frozen=True)
class Card:
    """Write the cards."""

    report: Path
    """Report folder of both models on BIQ2021's test photos."""
    biq2021: str
    """Folder of BIQ2021."""
    clive: str
    """Label table of CLIVE."""
    further: tuple[Path, ...] = ()
    """Report folders of both models under more attacks, on fewer photos."""


@dataclass(frozen=True)
class Picture:
    """Draw the README's picture: a photo, and what the same attack makes of it for each model."""

    out: Path = Path("docs/pushed.png")


def main(args: Pack | Card | Picture) -> None:
    """Pack, write the cards, or draw the picture."""
    if isinstance(args, Picture):
        draw(args.out)
    elif isinstance(args, Pack):
        for name, run in ((DEFAULT, args.robust), (UNDEFENDED, args.accurate)):
            pack(name, run)
    else:
        report, _ = read_report(args.report)
        further = [read_report(folder)[0] for folder in args.further]
        test, clive = open_photos(args.biq2021).select("test"), open_photos(args.clive).select(HELD_OUT)
        finished = ResultFolder(args.report / "cells")
        for name in SHIPPED:
            write_card(name, report, finished, test, clive, further)


def pack(name: str, run: Path) -> None:
    """Store a run's model as a shipped one, without measurements."""
    scorer, facts = checkpoint.load(run), checkpoint.facts(run)
    kept = {"config": facts.get("config", {}), MEASURED: {}}
    checkpoint.save(FOLDER / name, scorer, kept, half=True)
    size = (FOLDER / name / checkpoint.WEIGHTS).stat().st_size
    if size > LIMIT:
        raise ValueError(f"{name}: {size:,} bytes, more than {LIMIT:,}")
    out.print(f"{FOLDER / name}: {size:,} bytes", markup=False)


def write_card(
    name: str,
    report: ReportData,
    finished: ResultFolder,
    test: PhotoSet,
    clive: PhotoSet,
    further: Sequence[ReportData] = (),
) -> None:
    """The card of a model, and its measurements in its description; `finished` are the parts of the report."""
    folder = FOLDER / name
    scorer = checkpoint.load(name)
    accuracies = [
        *of_test(name, scorer, test, finished),
        agreement(f"CLIVE, fold {HELD_OUT}", predict(scorer, clive), clive.scores),
    ]
    seconds = {f"score, one at a time, {machine()['machine']}": seconds_a_photo(scorer)}
    what = [paragraph.replace("{size}", "x".join(map(str, scorer.spec.input_size))) for paragraph in WHAT[name]]
    text = model_card(name, what, accuracies, probes(scorer), report, seconds, further)
    replace_text(folder / "README.md", text)
    measured = {
        "srocc": {"CLIVE": accuracies[-1].srocc, "BIQ2021": accuracies[0].srocc},
        "gain": headline(name, report),
        "accuracies": [dataclasses.asdict(accuracy) for accuracy in accuracies],
        "example": {"photo": EXAMPLE, "score": score_of(scorer, embedded_photo(EXAMPLE))},
        "run": report.run,
    }
    path = folder / checkpoint.DESCRIPTION
    description = json.loads(path.read_text())
    description["facts"][MEASURED] = measured
    replace_text(path, json.dumps(description, indent=2) + "\n")
    out.print(f"{folder / 'README.md'}", markup=False)


def replace_text(path: Path, text: str) -> None:
    """Write a file of the package, whole or not at all: git keeps what it was."""
    with whole_file(path) as temporary:
        temporary.write_text(text)


def of_test(name: str, scorer: Scorer, test: PhotoSet, finished: ResultFolder) -> list[Accuracy]:
    """On BIQ2021's test photos, all and by subset; the scores are those of the report."""
    scores, _ = timed_predictions({name: scorer}, test, ONE, finished)[name]
    subsets = np.asarray(test.subsets)
    parts = {"BIQ2021, official test": np.ones(len(test), bool)}
    parts |= {f"BIQ2021 test, subset {name}": subsets == name for name in sorted(set(test.subsets))}
    return [agreement(data, scores[part], test.scores[part]) for data, part in parts.items()]


def agreement(data: str, scores: Scores, people: Scores) -> Accuracy:
    """Of a model's scores with people's, with an interval."""
    interval = bootstrap_interval(srocc, scores, people)
    return Accuracy(data, len(scores), interval.estimate, plcc(scores, people), interval.low, interval.high)


def headline(name: str, report: ReportData) -> dict[str, Any]:
    """The largest mean gains of the report's attacks, either way, on the model's own range and on its twin's."""
    rows: list[GainRow] = [row for row in report.rows if row["model"] == name]
    raised, lowered = (pick(rows, key=lambda row: row["abs_gain"] or 0.0) for pick in (max, min))
    agreements = [row.get("srocc_under_attack") for row in rows]
    return {
        "attack": attack_text(f"the strongest of {len(rows)} attacks", raised["eps"]),
        "photos": raised.get("n"),
        "raised by": raised["attack"],
        "raised": raised["abs_gain"],
        "lowered by": lowered["attack"],
        "lowered": lowered["abs_gain"],
        "raised, twin's range": raised["abs_gain_baseline_range"],
        "lowered, twin's range": lowered["abs_gain_baseline_range"],
        "srocc under attack": min(agreement for agreement in agreements if agreement is not None),
    }


def probes(scorer: Scorer) -> list[Probe]:
    """Scores of pictures that are no ordinary photos."""
    photo = embedded_photo(EXAMPLE)
    step = -(-photo.shape[1] // 16)
    grey = np.broadcast_to(photo.mean(-1, keepdims=True).astype(np.uint8), photo.shape)
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    pictures = {
        f"the embedded photo {EXAMPLE!r}, {photo.shape[1]}x{photo.shape[0]}": photo,
        "the same, grey": grey,
        "the same, upside down": photo[::-1],
        "the same, turned by 90 degrees": np.rot90(photo),
        "the same, 16 pixels wide": photo[::step, ::step],
        "the same, each pixel 8 x 8": photo.repeat(8, 0).repeat(8, 1),
        "black": np.zeros((256, 256, 3), np.uint8),
        "white": np.full((256, 256, 3), 255, np.uint8),
        "grey levels at random": noise,
    }
    return [Probe(what, score_of(scorer, np.ascontiguousarray(picture))) for what, picture in pictures.items()]


def score_of(scorer: Scorer, picture: np.ndarray) -> float:
    """Of one picture, as `riqa score` gives it."""
    return float(scorer(jnp.asarray(at_size(picture, scorer.spec.input_size))[None])[0])


def seconds_a_photo(scorer: Scorer, times: int = 9) -> float:
    """Median seconds of one photo alone, at the model's size, after the first."""
    photo = jnp.asarray(at_size(embedded_photo(EXAMPLE), scorer.spec.input_size))[None]
    _, seconds = stopwatch(lambda: np.asarray(scorer(photo)), times)
    return float(np.median(seconds))


def draw(path: Path) -> None:
    """The embedded photo, and what 100 small steps make of it, each with the score of the model that was attacked."""
    from matplotlib.figure import Figure

    photo = jnp.asarray(to_float(embedded_photo(EXAMPLE)))
    attack = attacks.mifgsm(eps=EPS[0], steps=100, **SMALL_STEPS)
    pictures, clean = [np.asarray(photo)], []
    titles = [""]
    for name in (UNDEFENDED, DEFAULT):
        scorer = checkpoint.load(name)
        pushed = attack(scorer, jax.random.key(0), photo[None])
        before, after = float(scorer(photo[None])[0]), float(scorer(pushed)[0])
        clean.append(f"{name.split('-')[0]}: {before:.0f}")
        pictures.append(np.asarray(pushed[0]))
        titles.append(f"pushed against\n{name}: {before:.0f} to {after:.0f}")
    titles[0] = f"photo\n{', '.join(clean)}"
    tall = photo.shape[0] / photo.shape[1]
    figure = Figure(figsize=(12, 4 * tall + 0.8), dpi=100, layout="constrained")
    for place, picture, title in zip(figure.subplots(1, len(pictures)), pictures, titles, strict=True):
        place.imshow(picture)
        place.set_title(title, fontsize=17)
        place.set_axis_off()
    figure.savefig(path, bbox_inches="tight", pad_inches=0.05)
    out.print(f"{path}: {path.stat().st_size:,} bytes", markup=False)


TERMS = (
    "Trained on BIQ2021 (Ahmed and Asif 2022, Journal of Electronic Imaging 31(5); its owners allow training and "
    "evaluation and state no licence; 8,000 of the photos are Unsplash's), from ImageNet's weights of "
    "EfficientNet-Lite0 (Apache 2.0), and on four of five folds of the LIVE In the Wild Image Quality Challenge "
    "Database (CLIVE; Ghadiyaram and Bovik 2015; free to use with its notice kept and the source acknowledged), whose "
    "scores were brought to BIQ2021's scale along a line. No photo is in this package."
)
MEANING = (
    "A score is an estimate of how good people find a photo, on BIQ2021's scale times 100: 0 to 100, higher is better. "
    "A photo of any size is resized to {size} first, so detail that only a large print shows is not seen."
)
FAILS = (
    "Known to fail: it agrees with people less on CLIVE's photos than on BIQ2021's, and was not measured on a data set "
    "of which it was shown nothing; within one kind of photo (BIQ2021's ss02) it ranks worse than over all of them; "
    "pictures that are no photos get scores that mean nothing (below); an attack may be larger or cleverer than those "
    "below."
)
PUSHED = (
    "Patience pays: 100 small steps from the photo (MI-FGSM at 4/255) raised eight photos by 0.24 of its range and "
    "lowered them by 0.32, against 0.17 and 0.19 with 20. A single step gains next to nothing, which is a sign of "
    "masked gradients (below) and no measure of how safe it is "
    "(benchmarks/results/2026-11-28_robust_lite0_longer.md)."
)
WHAT = {
    DEFAULT: (
        "The default of this package: a quality model for photos that is harder to push than its twin. "
        "EfficientNet-Lite0 with the head of LinearityIQA, trained so that scores of attacked photos stay where those "
        f"of the clean ones are, on labels that are half people's and half {UNDEFENDED}'s (`configs/robust_lite0.py`).",
        PUSHED,
        MEANING,
        TERMS,
        FAILS,
    ),
    UNDEFENDED: (
        f"The undefended twin of {DEFAULT}: the same network and photos, trained without the defence "
        "(`configs/accurate_lite0.py`). More accurate, and easily pushed: not for scores that "
        "anybody optimises. Gains of both models are measured in its range of scores.",
        MEANING,
        TERMS,
        FAILS,
    ),
}


if __name__ == "__main__":
    arguments: Any = parsed(
        Annotated[Pack | Card | Picture, tyro.conf.ConsolidateSubcommandArgs],  # pyright: ignore[reportArgumentType]
        sys.argv[1:],
        "model_cards",
        __doc__,
    )
    main(arguments)
