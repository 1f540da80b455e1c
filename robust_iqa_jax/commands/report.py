"""`riqa report FOLDER`: a report folder as a web page, LaTeX tables and Markdown, beside the published numbers.
Example: riqa report runs/quickstart --data distorted-photos"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from robust_iqa_jax.commands.arguments import columns, parsed
from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.data.archives.table import archives_in
from robust_iqa_jax.data.open import open_photos
from robust_iqa_jax.extras import require
from robust_iqa_jax.files import check_folder
from robust_iqa_jax.report.files import check_report_folder, read_report
from robust_iqa_jax.report.page_files import write_page


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
    """Exit status: 1 where a thumbnail could not be made."""
    given = parsed(ReportArgs, args, "riqa report", __doc__)
    if given.parquet:
        require("--parquet", "pyarrow")
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
