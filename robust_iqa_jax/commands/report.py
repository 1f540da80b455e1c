"""`riqa report FOLDER`: a report folder as a web page, LaTeX tables and Markdown, beside the published numbers.
Example: riqa report runs/quickstart --data distorted-photos"""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from PIL import Image

from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.data.archives.table import archives_in
from robust_iqa_jax.data.images import ImageError, read_image
from robust_iqa_jax.data.open import open_photos
from robust_iqa_jax.data.whole_file import write_text
from robust_iqa_jax.evaluation.html_report import html_report
from robust_iqa_jax.evaluation.latex import latex
from robust_iqa_jax.evaluation.report import read_report, write_report
from robust_iqa_jax.evaluation.report_findings import worst_images
from robust_iqa_jax.evaluation.report_tables import tables

THUMBNAIL = (128, 96)
"""Largest width and height in pixels."""


@dataclass(frozen=True)
class ReportArgs:
    """Write report.html, report.tex, report.md and report.json from what riqa evaluate or riqa quickstart left."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder with report.json and, for distributions and worst images, per_image.csv."""
    data: str | None = None
    """Photos for thumbnails: the data that was evaluated, or a folder of image files."""
    title: str | None = None
    """Of the page; the folder's own where not given."""
    out: Path | None = None
    """Folder for the files; the report's own where not given."""


def main(args: list[str]) -> int:
    """Run the command; its exit status: 1 where a thumbnail could not be made."""
    parsed = tyro.cli(ReportArgs, args=args, prog="riqa report", description=__doc__)
    report, title = read_report(parsed.folder)
    title = parsed.title or title
    thumbnails, complete = {}, True
    if parsed.data is not None:
        names = dict.fromkeys(row["image"] for row in worst_images(report.per_image, report.models))
        thumbnails = {name: uri for name, uri in _thumbnails(parsed.data, names) if uri}
        complete = len(thumbnails) == len(names)
        if not complete:
            err.print(f"riqa report: {len(names) - len(thumbnails)} of {len(names)} images not in {parsed.data}")
    folder = parsed.out or parsed.folder
    write_report(folder, report.rows, report.models, per_image=report.per_image, title=title)
    write_text(folder / "report.html", html_report(report, title, thumbnails=thumbnails))
    write_text(folder / "report.tex", latex(tables(report.rows, report.models, report.per_image)))
    out.print(f"{folder / 'report.html'}, report.tex, report.md, report.json", markup=False)
    return 0 if complete else 1


def _thumbnails(source: str, names: Iterable[str]) -> Iterable[tuple[str, str | None]]:
    """Image names with small JPEGs of them as data URIs, None for one that is not there or not readable."""
    folder = Path(source)
    photos = None if folder.is_dir() and not archives_in(folder) else open_photos(source)
    for name in names:
        try:
            pixels = read_image(folder / name) if photos is None else photos.load(photos.names.index(name))
        except (ImageError, ValueError):
            yield name, None
            continue
        small = Image.fromarray(pixels)
        small.thumbnail(THUMBNAIL)
        file = io.BytesIO()
        small.save(file, "JPEG", quality=80)
        yield name, "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
