"""A report folder's web page and LaTeX tables, beside its other files; with thumbnails where photos are given."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from robust_iqa_jax.data.images import ImageError, data_uri, read_pixels
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.files import write_text
from robust_iqa_jax.report.files import read_report, write_report
from robust_iqa_jax.report.findings import worst_images
from robust_iqa_jax.report.latex import latex
from robust_iqa_jax.report.tables import tables

THUMBNAIL = (128, 96)
"""Largest width and height in pixels."""


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
      MissingExtra: PyArrow is asked for and not installed, or Matplotlib is not.
      ValueError: no report in the folder.
    """
    report, own_title = read_report(folder)
    title, out = title or own_title, out or folder
    worst = dict.fromkeys(row["image"] for row in worst_images(report.per_image, report.models))
    uris = {} if photos is None else dict(_thumbnails(photos, worst))
    thumbnails = {name: uri for name, uri in uris.items() if uri}
    write_report(out, report, title=title, parquet=parquet)
    from robust_iqa_jax.report.page import html_report

    write_text(out / "report.html", html_report(report, title, thumbnails=thumbnails))
    write_text(out / "report.tex", latex(tables(report)))
    return [name for name, uri in uris.items() if not uri]


def _thumbnails(photos: PhotoSet | Path, names: Iterable[str]) -> Iterable[tuple[str, str | None]]:
    """Image names with small JPEGs of them as data URIs, None for one that is not there or not readable."""
    for name in names:
        try:
            image = read_pixels(photos / name) if isinstance(photos, Path) else photos.load(photos.names.index(name))
        except (ImageError, ValueError):
            yield name, None
            continue
        small = Image.fromarray(image)
        small.thumbnail(THUMBNAIL)
        yield name, data_uri(np.asarray(small), "JPEG", quality=80)
