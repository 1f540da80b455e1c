"""`riqa study CONFIG`: trains the models of a study, attacks them and writes the report with its web page.
Example: riqa study clive_reduced --data clive/scores.csv --test-group 0 --out runs/study. A killed study goes on."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.config_file import load_config, shipped
from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.files import check_folder
from robust_iqa_jax.folder_lock import locked
from robust_iqa_jax.labels import COLUMNS

if TYPE_CHECKING:
    from robust_iqa_jax.study import StudyConfig


@dataclass(frozen=True)
class StudyArgs:
    """Run what the get_config() of a file describes as a study.StudyConfig."""

    config: Annotated[str, tyro.conf.Positional]
    """Name of a study that ships with the package, such as clive_reduced, or path of a .py file of yours."""
    data: str | None = None
    """Label table (CSV) or the embedded set; the configuration's where not given."""
    test_group: str | None = None
    """Value of the split or fold column that is tested on; the configuration's where not given."""
    image_column: str | None = None
    """Columns of the label table, where their names are not recognised."""
    score_column: str | None = None
    group_column: str | None = None
    image_dir: str | None = None
    """Folder of a table's images, where they are not beside it or in images/."""
    out: Path = Path("runs/study")
    """Folder for the report, its page report.html, and a work folder for each model."""


def main(args: list[str]) -> int:
    """Read the study and run it; the exit status."""
    names = ", ".join(name for name in shipped() if not name.startswith("koniq"))
    given = parsed(StudyArgs, args, "riqa study", f"{__doc__}\n\nConfigurations that ship: {names}")
    from robust_iqa_jax.study import StudyConfig

    study = load_config(given.config, StudyConfig)
    options = ("data", "test_group", *COLUMNS)
    changes = {name: getattr(given, name) for name in options if getattr(given, name) is not None}
    run_study(dataclasses.replace(study, base=dataclasses.replace(study.base, **changes)), given.out, given.config)
    return 0


def run_study(study: "StudyConfig", folder: Path, name: str) -> None:
    """Train what is missing of a study, evaluate it, write report and page.

    Args:
      study: what to run.
      folder: of the report, and of a work folder for each model.
      name: of the study, in the title.

    Raises:
      ValueError: something that the study will need is missing, before the first second of training.
    """
    began = time.perf_counter()
    check_folder(folder)
    with locked(folder):
        _run_study(study, folder, name)
    out.print(f"{folder / 'report.html'}; {time.perf_counter() - began:.0f} s in all", markup=False)


def _run_study(study: "StudyConfig", folder: Path, name: str) -> None:
    from robust_iqa_jax.commands.evaluation import run_suite
    from robust_iqa_jax.commands.photos import described
    from robust_iqa_jax.commands.train import check_before, run
    from robust_iqa_jax.report.files import check_report_folder
    from robust_iqa_jax.report.page_files import write_page
    from robust_iqa_jax.study import evaluation, variants
    from robust_iqa_jax.training.photos import run_photos

    check_report_folder(folder, page=True)
    cache_dir = study.base.cache_dir or folder / "frozen_maps"
    study = dataclasses.replace(study, base=dataclasses.replace(study.base, cache_dir=cache_dir))
    runs, suite = variants(study, folder), evaluation(study, folder)
    with err.status("opening the photos"):
        photos = run_photos(study.base)
    if study.attack_photos is not None and study.attack_photos < 2:
        raise ValueError(f"{name}: attack_photos = {study.attack_photos}; an evaluation needs two photos or more")
    folders = tuple(run.workdir for run in runs.values() if run.workdir is not None)
    for config in runs.values():
        check_before(config, photos.training, folders)
    out.print(f"training on {described(photos.training)}; {len(photos.test)} test photos", markup=False)
    scorers = {name: run(config, photos)[0] for name, config in runs.items()}
    (line,) = suite.data.values()
    run_suite(suite, scorers, line, photos.training, photos.test, folder, f"{name}, test group {line.test_group}")
    write_page(folder, photos=photos.test)
