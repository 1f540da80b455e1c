"""`riqa study CONFIG`: trains the models of a study, attacks them and writes the report with its web page.
Example: riqa study clive_reduced --data clive/scores.csv --test-group 0 --out runs/study. A killed study goes on."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from robust_iqa_jax.commands.config_file import load_config
from robust_iqa_jax.commands.evaluate import evaluate_suite
from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.commands.report import write_page
from robust_iqa_jax.commands.train import run
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.study import StudyConfig, evaluation, variants


@dataclass(frozen=True)
class StudyArgs:
    """Run what the get_config() of a file describes as a study.StudyConfig."""

    config: Annotated[str, tyro.conf.Positional]
    """Path of the .py file, or the name of one that ships with the package, such as clive_reduced."""
    data: str | None = None
    """Label table (CSV) or the embedded set; the configuration's where not given."""
    test_group: str | None = None
    """Value of the split or fold column that is tested on; the configuration's where not given."""
    out: Path = Path("runs/study")
    """Folder for the report, its page report.html, and a work folder for each model."""


def main(args: list[str]) -> int:
    """Run the command; its exit status."""
    parsed = tyro.cli(StudyArgs, args=args, prog="riqa study", description=__doc__)
    study = load_config(parsed.config, StudyConfig)
    given = {name: getattr(parsed, name) for name in ("data", "test_group") if getattr(parsed, name) is not None}
    run_study(dataclasses.replace(study, base=dataclasses.replace(study.base, **given)), parsed.out, parsed.config)
    return 0


def run_study(study: StudyConfig, folder: Path, name: str) -> None:
    """Train what is missing of a study, evaluate it, write report and page.

    Args:
      study: what to run.
      folder: of the report, and of a work folder for each model.
      name: of the study, in the title.
    """
    began = time.perf_counter()
    cache_dir = study.base.cache_dir or folder / "frozen_maps"
    study = dataclasses.replace(study, base=dataclasses.replace(study.base, cache_dir=cache_dir))
    with err.status("opening the photos"):
        photos = open_photos(study.base.data)
    training, test = split_photos(photos, study.base.test_group)
    labels = "pseudo_mos (a formula, not people)" if photos.label == "pseudo_mos" else photos.label
    out.print(f"{len(training)} training and {len(test)} test photos, labels: {labels}")
    scorers = {name: run(config, training, test)[0] for name, config in variants(study, folder).items()}
    suite = evaluation(study, folder)
    (line,) = suite.data.values()
    evaluate_suite(suite, scorers, line, training, test, folder, f"{name}, test group {line.test_group}")
    write_page(folder, photos=photos)
    out.print(f"{folder / 'report.html'}; {time.perf_counter() - began:.0f} s in all", markup=False)
