"""`riqa score IMAGE...`: quality scores of photos by a trained model, higher is better. A folder stands for its photos.
Example: riqa score photo.jpg folder --out scores.csv"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TextIO

import tyro
from rich.markup import escape
from rich.table import Column, Table

from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.progress import bar, err, out
from robust_iqa_jax.data.images import ImageError, read_picture
from robust_iqa_jax.data.photo_paths import Complain, photo_paths
from robust_iqa_jax.evaluation.photo_scores import PhotoScore, photo_scores
from robust_iqa_jax.files import check_file, own_file
from robust_iqa_jax.labels import label_note
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.scorer import AnyScorer, Scorer
from robust_iqa_jax.models.shipped import DEFAULT


@dataclass(frozen=True)
class ScoreArgs:
    """Score photos."""

    images: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Image files (PNG, JPEG, WebP, BMP, TIFF, ...), or folders: the photos directly inside, by name. Patterns that the
    shell left alone, such as 'photos/**/*.jpg', stand for what matches them."""
    checkpoint: Path | None = None
    """Name of a model that ships, checkpoint, or work folder of a training run; robust-lite0 where not given."""
    out: Path | None = None
    """CSV file of image, score, model and note, in place of the table: each photo as soon as it is scored, so that
    memory does not grow with their number. What was scored stays where something ends the command early."""
    json: bool = False
    """Print a list of {"image", "score", "model"} in input order; with "note" where a score means little."""


def main(args: list[str]) -> int:
    """1 where an image could not be scored."""
    given = parsed(ScoreArgs, args, "riqa score", __doc__, addresses=True)
    if not given.images:
        err.print("riqa score: give at least one image")
        return 2
    if given.json and given.out is not None:
        err.print("riqa score: --json prints the scores and --out writes them; give one of the two")
        return 2
    refused, complain = refusals()
    paths = photo_paths(given.images, complain, remark)
    if given.out is not None:
        check_file(given.out, inputs=map(Path, paths))
    paths = from_first_readable(paths, complain)
    if not paths:  # before the seconds that loading a model takes
        if given.json:
            print("[]")
        return 1
    scorer, model = opened_scorer(given.checkpoint)
    scorer = scorer.prepare()
    stdout, progress = sys.stdout, bar()  # a running bar takes sys.stdout over and sends it to standard error
    progress.disable = given.json and stdout.isatty()
    scores: list[PhotoScore] = []
    count = 0
    with progress:
        task = progress.add_task("scoring", total=len(paths), note="")

        def rows() -> Iterator[PhotoScore]:
            for row in photo_scores(scorer, paths, complain):
                if row.note is not None:
                    err.print(f"riqa: {row.image}: {row.note}", markup=False)
                progress.advance(task)
                yield row

        if given.out is not None:
            count = _write_csv(given.out, rows(), model)
        elif given.json:
            _write_json(stdout, rows(), model)
        else:
            scores += rows()
    if given.out is not None:
        out.print(f"{given.out}: {count} scores by {model}, higher is better", markup=False)
    elif not given.json:
        _print_table(scorer, scores, model)
    return 1 if refused else 0


def refusals() -> tuple[list[str], Complain]:
    """Lines about what is refused, as far as they have come, and what to call with the next one: it is printed too."""
    refused: list[str] = []

    def complain(line: str) -> None:
        refused.append(line)
        remark(line)

    return refused, complain


def remark(line: str) -> None:
    """A line on standard error."""
    err.print(f"riqa: {line}", markup=False)


def opened_scorer(path: Path | None) -> tuple[Scorer, str]:
    """A trained model and what to call it, with a line on standard error where no people gave its labels.

    Args:
      path: as checkpoint.load takes it.
    """
    scorer, model = checkpoint.load(path), str(path or DEFAULT)
    if note := label_note(scorer.label):
        err.print(f"riqa: {model}: {note}", markup=False)
    return scorer, model


def from_first_readable(paths: list[str], complain: Complain) -> list[str]:
    """The paths without those before the first photo that decodes: where none does, no model need be loaded."""
    for i, path in enumerate(paths):
        try:
            read_picture(path)
        except ImageError as error:
            complain(str(error))
        else:
            return paths[i:]
    return []


def _write_json(file: TextIO, rows: Iterable[PhotoScore], model: str) -> None:
    """A JSON list, each photo as soon as it is scored; whole too where something ends the command early."""
    file.write("[")
    between = "\n  "
    try:
        for row in rows:
            note = {} if row.note is None else {"note": row.note}
            file.write(between + json.dumps({"image": row.image, "score": row.score, "model": model, **note}))
            file.flush()
            between = ",\n  "
    finally:
        file.write("\n]\n")


def _write_csv(path: Path, rows: Iterable[PhotoScore], model: str) -> int:
    """A CSV file of ours, with what was scored where something ends the command early; how many photos."""
    count, stopped = 0, None
    with own_file(path) as temporary, temporary.open("w", newline="", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image", "score", "model", "note"))
        try:
            for row in rows:
                writer.writerow((row.image, row.score, model, row.note or ""))
                count += 1
        except BaseException as error:  # Ctrl-C too
            stopped = error
    if stopped is not None:
        raise stopped
    return count


def _print_table(scorer: AnyScorer, rows: Iterable[PhotoScore], model: str) -> None:
    scale = f"{scorer.label}, {scorer.calibration.low:.1f} to {scorer.calibration.high:.1f}"
    table = Table(Column("image", overflow="fold"), f"score ({scale})", caption=f"{model}, higher is better")
    for row in rows:
        table.add_row(escape(row.image), f"{row.score:.3f}")
    out.print(table)
