"""`riqa evaluate CHECKPOINT...`: accuracy and robustness of trained models on labelled photos, as a report folder.
Example: riqa evaluate runs/base runs/with-block --data clive/scores.csv --test-group 0 --eps 4/255 --out runs/report
`riqa evaluate SUITE.py`: what a file's get_config() describes (evaluation.suite.SuiteConfig). A killed run goes on."""

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from robust_iqa_jax.commands.arguments import checked_eps, columns, parsed
from robust_iqa_jax.commands.progress import err
from robust_iqa_jax.extras import require
from robust_iqa_jax.files import check_folder
from robust_iqa_jax.folder_lock import locked
from robust_iqa_jax.models.shipped import DEFAULT, SHIPPED, UNDEFENDED
from robust_iqa_jax.setting_error import with_options

if TYPE_CHECKING:
    from robust_iqa_jax.attacks.core import Attack
    from robust_iqa_jax.data.photo_set import PhotoSet
    from robust_iqa_jax.report.photos import Inference


@dataclass(frozen=True)
class EvaluateArgs:
    """Evaluate checkpoints; the first is the undefended baseline whose score range scales the headline."""

    checkpoints: Annotated[tuple[Path, ...], tyro.conf.Positional] = (Path(UNDEFENDED), Path(DEFAULT))
    """Checkpoints or work folders, of which the last folder name is the model's name, or names of models that ship. Or
    one .py file with a suite, of which only --out, --devices and --parquet are options."""
    data: str | None = None
    """Label table (CSV or .mat), folder of an unpacked archive, or the embedded set "distorted-photos"; what the
    checkpoints were trained on where not given."""
    test_group: str | None = None
    """Value of the split or fold column that is evaluated on; the one that the checkpoints were not trained on where
    not given."""
    image_column: str | None = None
    """Columns of the label table, where their names are not recognised."""
    score_column: str | None = None
    group_column: str | None = None
    image_dir: str | None = None
    """Folder of a table's images, where they are not beside it or in images/."""
    steps: tuple[int, ...] = ()
    """Iterations, one attack for each: 1 and 8 of PGD where neither they nor --attack are given, else each attack's own
    default."""
    eps: tuple[float, ...] = tuple(n / 255 for n in (2, 4, 6, 8, 10))
    """Attack sizes in [0,1] pixels, such as 4/255."""
    attack: tuple[str, ...] = ()
    """Attacks by name, in place of PGD, each at every size where it has one; riqa attack --help lists them. Some are
    fitted on other photos first, which a suite file does."""
    direction: tuple[Literal["raise", "lower"], ...] = ()
    """Which way scores are pushed: raise, lower, or both; as each attack does, mostly raise, where not given."""
    transfer: bool = False
    """Also attack every model with what was made on each of the others: what an attacker gets who does not know it."""
    suite: bool = False
    """Also attack with the strongest of several attacks, image by image, at every size; takes far longer."""
    defense: tuple[str, ...] = ()
    """Also evaluate every model behind each of these, such as jpeg:75 median:3 crop:0.9:8 smooth:0.05, under attacks
    that were made without it. name:parameter, or name:parameter:draws for one that draws. jpeg (quality), blur (sigma
    in pixels), median (side), resize (share of the sides), bits (a channel), unsharp (amount); and, drawn, crop (share
    of the sides), flip (chance), rotate (degrees), random-resize (least share), noise and smooth (sigma in [0,1]
    pixels; the mean and the median score)."""
    adaptive: bool = False
    """Also attack through each defence, by straight-through derivatives and the mean over draws: what it is worth."""
    draws: int = 16
    """Draws that an adaptive attack averages over at each step, where the defence draws."""
    masking: bool = False
    """Also check every model for masked gradients."""
    attack_photos: int | None = None
    """Photos attacked, evenly spaced over the group, two or more; all where not given. Accuracy is over all photos."""
    seed: int = 0
    devices: int | Literal["all"] = 1
    """Local devices that share each batch, or all. A batch has up to 8 images (or what the suite says) on each."""
    parquet: bool = False
    """Write per_image.parquet beside per_image.csv; needs the extra "parquet"."""
    out: Path = Path("runs/report")
    """Folder for report.json, report.md, per_image.csv, tradeoff.png, perturbations.json (pictures of what was added to
    the images moved furthest), timings.json, and cells/ with the finished parts; a suite has such a folder for each of
    its data."""


def main(args: list[str]) -> int:
    """Exit status: 2 for arguments of which no evaluation can be made."""
    given = parsed(EvaluateArgs, args, "riqa evaluate", __doc__)
    try:
        _check_settings(given)
    except ValueError as error:
        err.print(f"riqa evaluate: {error}", markup=False)
        return 2
    if given.parquet:
        require("--parquet", "pyarrow")
    from robust_iqa_jax.models.hub import is_address

    for path in given.checkpoints:
        if not (path.exists() or path.suffix == ".py" or str(path) in SHIPPED or is_address(path)):
            raise ValueError(f"{path}: no such checkpoint")
    from robust_iqa_jax.devices import local_devices

    local_devices(given.devices)  # what is not there is refused before anything is read
    return _suite(given) if given.checkpoints[0].suffix == ".py" else _checkpoints(given)


def _check_settings(given: EvaluateArgs) -> None:
    """Raise ValueError for numbers of which no evaluation can be made."""
    if given.attack_photos is not None and given.attack_photos < 2:
        raise ValueError(f"--attack-photos {given.attack_photos}: an evaluation needs two photos or more")
    if bad := [steps for steps in given.steps if steps < 1]:
        raise ValueError(f"--steps {bad[0]}: give whole numbers from 1")
    checked_eps(given.eps)
    _attacks(given)
    if given.transfer and len(given.checkpoints) < 2:
        raise ValueError("--transfer: attacks made on other models need two checkpoints or more")
    if given.adaptive and not given.defense:
        raise ValueError("--adaptive attacks through a defence; give one with --defense, such as jpeg:75")
    if given.draws < 1:
        raise ValueError(f"--draws {given.draws}: give a whole number from 1")
    _inference(given)


def _inference(given: EvaluateArgs) -> "Inference":
    """The defences that are asked for."""
    from robust_iqa_jax.defenses.purification import parse_defense
    from robust_iqa_jax.report.photos import Inference

    defenses = {defense.name: defense for defense in map(parse_defense, given.defense)}
    return Inference(tuple(defenses.values()), given.adaptive, given.draws)


def _attacks(given: EvaluateArgs) -> "list[Attack]":
    """Every attack in every combination of the settings that are given and that it has.

    Raises:
      ValueError: an unknown attack, or one that has to be fitted first.
    """
    from robust_iqa_jax.attacks import registry

    names = dict.fromkeys([*(given.attack or ("pgd",)), *(("suite",) if given.suite else ())])
    grid: list[Attack] = []
    for name in names:
        row = registry.entry(name)
        if row.fitted:
            raise ValueError(f"--attack {name}: is fitted on other photos first, which a suite file does; see --help")
        steps = given.steps or (() if given.attack else (1, 8))
        values = {"steps": () if name == "suite" else steps, "direction": given.direction, "eps": given.eps}
        swept = {setting: chosen for setting, chosen in values.items() if chosen and setting in row.settings}
        grid += [
            registry.make(name, **dict(zip(swept, chosen, strict=True)))
            for chosen in itertools.product(*swept.values())
        ]
    return grid


def _checkpoints(given: EvaluateArgs) -> int:
    from robust_iqa_jax.commands.evaluation import on_bar, write_evaluation
    from robust_iqa_jax.evaluation.results import ResultFolder
    from robust_iqa_jax.models import checkpoint
    from robust_iqa_jax.report.files import check_report_folder
    from robust_iqa_jax.report.photos import evaluate_photos

    workdirs: dict[str, Path] = {}
    for path in given.checkpoints:
        name = path.resolve().name
        if name in workdirs:
            raise ValueError(
                f"{workdirs[name]} and {path} have the same folder name, which tells models apart in the report; "
                "rename one of the two"
            )
        workdirs[name] = path
        checkpoint.find(path)
    check_report_folder(given.out, parquet=given.parquet)
    facts = {name: checkpoint.facts(path) for name, path in workdirs.items()}
    test = _test_photos(given, {name: fact.get("config", {}) for name, fact in facts.items()})
    scorers = {name: checkpoint.load(path) for name, path in workdirs.items()}
    grid = _attacks(given)
    check_folder(given.out)
    with locked(given.out):
        with on_bar() as on_progress:
            report = evaluate_photos(
                scorers,
                test,
                lambda _: grid,
                given.attack_photos,
                given.seed,
                masking=given.masking,
                inference=_inference(given),
                transfer=given.transfer,
                results=ResultFolder(given.out / "cells"),
                devices=given.devices,
                on_progress=on_progress,
            )
        write_evaluation(given.out, report, workdirs, "riqa evaluate", given.parquet)
    return 0


def _test_photos(given: EvaluateArgs, configurations: dict[str, dict[str, Any]]) -> "PhotoSet":
    """The photos to evaluate on, and lines on standard error that say which they are and why."""
    from robust_iqa_jax.commands.photos import described
    from robust_iqa_jax.data.open import check_test_photos
    from robust_iqa_jax.evaluation.photo_choice import NotReadable, choose_photos

    try:
        test = choose_photos(configurations, given.data, given.test_group, columns(given))
    except NotReadable as error:
        raise ValueError(f"{with_options(error)}; give --data") from error
    check_test_photos(test.photos, f"--test-group {test.group}")
    what = f"evaluating on group {test.group} of {test.data} ({test.reason}): {described(test.photos)}"
    for line in (what, *(f"note: {note}" for note in test.notes)):
        err.print(line, markup=False)
    return test.photos


def _suite(given: EvaluateArgs) -> int:
    """Run what is missing of a suite and write the report of each of its data."""
    from robust_iqa_jax.commands.config_file import load_config
    from robust_iqa_jax.commands.evaluation import run_suite
    from robust_iqa_jax.data.open import check_test_photos, open_photos, split_photos
    from robust_iqa_jax.evaluation.suite import SuiteConfig
    from robust_iqa_jax.models import checkpoint
    from robust_iqa_jax.report.files import check_report_folder

    file, *others = given.checkpoints
    if others:
        raise ValueError(f"{file}: a suite names its models itself; give no other checkpoint")
    own = EvaluateArgs((), out=given.out, devices=given.devices, parquet=given.parquet)
    if dataclasses.replace(given, checkpoints=()) != own:
        raise ValueError(f"{file}: a suite is set in its file; --out, --devices and --parquet are its only options")
    suite = load_config(str(file), SuiteConfig)
    photos = {name: split_photos(open_photos(line.data), line.test_group) for name, line in suite.data.items()}
    for name, line in suite.data.items():
        check_test_photos(photos[name][1], f"{file}: data {name!r}, test group {line.test_group}")
        check_report_folder(given.out / name, parquet=given.parquet)
        check_folder(given.out / name)
    scorers = {name: checkpoint.load(Path(folder)) for name, folder in suite.models.items()}
    for name, line in suite.data.items():
        folder = given.out / name
        with locked(folder):
            run_suite(suite, scorers, line, *photos[name], folder, name, given.devices, given.parquet)
    return 0
