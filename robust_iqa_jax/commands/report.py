"""`riqa report FOLDER`: a report folder as a web page, LaTeX tables and Markdown, beside the published numbers.
Example: riqa report runs/quickstart --data distorted-photos"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image

from robust_iqa_jax.commands.arguments import columns, parsed
from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.data.archives.table import archives_in
from robust_iqa_jax.data.images import ImageError, data_uri, read_pixels
from robust_iqa_jax.data.open import open_photos
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.files import check_folder, write_text
from robust_iqa_jax.report.files import check_report_folder, read_report, write_report
from robust_iqa_jax.report.findings import worst_images
from robust_iqa_jax.report.latex import latex
from robust_iqa_jax.report.page import html_report
from robust_iqa_jax.report.tables import tables

THUMBNAIL = (128, 96)
"""Largest width and height in pixels."""


@dataclass(frozen=True)
class ReportArgs:
    """Write report.html, report.tex, report.md and report.json from what riqa evaluate or riqa quickstart left."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder with report.json and, for distributions and worst images, per_image.csv."""
    data: str | None = None
    """Photos for thumbnails: the data that was evaluated, or a folder of image files."""
    image_column: str | None = None
    """Columns of the label table, where their names are not recognised."""
    score_column: str | None = None
    group_column: str | None = None
    image_dir: str | None = None
    """Folder of a table's images, where they are not beside it or in images/."""
    title: str | None = None
    """Of the page; the folder's own where not given."""
    parquet: bool = False
    """Write per_image.parquet beside per_image.csv; needs the extra "parquet"."""
    out: Path | None = None
    """Folder for the files; the report's own where not given."""


def main(args: list[str]) -> int:
    """Run the command; its exit status: 1 where a thumbnail could not be made."""
    given = parsed(ReportArgs, args, "riqa report", __doc__)
    folder = given.out or given.folder
    read_report(given.folder)
    check_report_folder(folder, parquet=given.parquet, page=True)
    check_folder(folder)
    photos = given.data
    if photos is not None:
        is_folder = Path(photos).is_dir() and not archives_in(Path(photos))
        photos = Path(photos) if is_folder else open_photos(photos, **columns(given))
    missing = write_page(given.folder, title=given.title, photos=photos, out=given.out, parquet=given.parquet)
    if missing:
        err.print(f"riqa report: not in {given.data}: {', '.join(missing)}", markup=False)
    out.print(f"{folder / 'report.html'}, report.tex, report.md, report.json", markup=False)
    return 1 if missing else 0


def write_page(
    folder: Path,
    *,
    title: str | None = None,
    photos: PhotoSet | Path | None = None,
    out: Path | None = None,
    parquet: bool = False,
) -> list[str]:
    """Write report.html, report.tex, report.md and report.json of a report folder.

    Args:
      folder: of the report.
      title: of the page; the report's own where not given.
      photos: for thumbnails: labelled photos, or a folder of image files.
      out: folder for the files; the report's own where not given.
      parquet: write per_image.parquet too.

    Returns:
      names of images that have no thumbnail although there are photos.

    Raises:
      ValueError: no report in the folder; PyArrow is asked for and not installed.
    """
    report, own_title = read_report(folder)
    title, out = title or own_title, out or folder
    worst = dict.fromkeys(row["image"] for row in worst_images(report.per_image, report.models))
    uris = {} if photos is None else dict(_thumbnails(photos, worst))
    thumbnails = {name: uri for name, uri in uris.items() if uri}
    write_report(out, report, title=title, parquet=parquet)
    write_text(out / "report.html", html_report(report, title, thumbnails=thumbnails))
    write_text(out / "report.tex", latex(tables(report)))
    return [name for name, uri in uris.items() if not uri]


def _thumbnails(photos: PhotoSet | Path, names: Iterable[str]) -> Iterable[tuple[str, str | None]]:
    """Image names with small JPEGs of them as data URIs, None for one that is not there or not readable."""
    for name in names:
        try:
            pixels = read_pixels(photos / name) if isinstance(photos, Path) else photos.load(photos.names.index(name))
        except (ImageError, ValueError):
            yield name, None
            continue
        small = Image.fromarray(pixels)
        small.thumbnail(THUMBNAIL)
        yield name, data_uri(np.asarray(small), "JPEG", quality=80)
