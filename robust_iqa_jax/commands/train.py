"""`riqa train CONFIG`: trains what a configuration describes and scores its held-out photos.
Example: riqa train clive_lite0 --data clive/scores.csv --test-group 0 --workdir runs/fold0"""

import dataclasses
import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from robust_iqa_jax.commands.arguments import columns, parsed
from robust_iqa_jax.commands.config_file import load_config, shipped
from robust_iqa_jax.commands.progress import bar, err, out

if TYPE_CHECKING:
    from robust_iqa_jax.data.photo_set import PhotoSet
    from robust_iqa_jax.models.scorer import Scorer
    from robust_iqa_jax.training.config import TrainConfig


def main(args: list[str]) -> int:
    """Run the command; its exit status."""
    asked = bool(args) and args[0] in ("-h", "--help")
    if asked:
        # the options of any run; the defaults of one are shown by riqa train CONFIG --help
        from robust_iqa_jax.training.config import TrainConfig

        usage = f"{__doc__}\n\nCONFIG is a .py file of yours, or one of: {', '.join(shipped())}"
        parsed(TrainConfig, ["--help"], "riqa train CONFIG", usage, config=(tyro.conf.AvoidSubcommands,))
    if not args or args[0].startswith("-"):
        err.print(
            "riqa train: give a configuration first, for example: riqa train clive_lite0 --data clive/scores.csv; "
            "riqa train --help lists them",
            markup=False,
        )
        return 2
    config = _config(args)
    from robust_iqa_jax.training.processes import join_processes

    join_processes(os.environ)
    training, test, validation = _photos(config, given=[argument.split("=")[0] for argument in args])
    check_before(config, len(training))
    run(config, training, test, validation)
    return 0


def _config(args: list[str]) -> "TrainConfig":
    from robust_iqa_jax.training.config import TrainConfig

    found = load_config(args[0], TrainConfig)
    return parsed(
        TrainConfig,
        args[1:],
        f"riqa train {args[0]}",
        __doc__,
        default=found,
        config=(tyro.conf.AvoidSubcommands,),
    )


def _photos(config: "TrainConfig", given: list[str]) -> "tuple[PhotoSet, PhotoSet, PhotoSet | None]":
    """Training, test and validation photos, and a line on standard error that says which those are and why."""
    from robust_iqa_jax.commands.photos import described
    from robust_iqa_jax.data.open import check_test_photos, open_photos, split_photos

    photos = open_photos(config.data, **columns(config))
    group = config.validation_group
    training, test = split_photos(photos, config.test_group, group)
    check_test_photos(test, f"--test-group {config.test_group}")
    validation = None if group is None else photos.select([group])
    if validation is not None:
        check_test_photos(validation, f"--validation-group {group}")
    reason = "as given" if "--test-group" in given else "the configuration's, --test-group changes it"
    err.print(
        f"{config.data}: training on {described(training)}, in groups {', '.join(sorted(set(training.groups)))}; held "
        f"out: {len(test)} photos of group {config.test_group} ({reason})",
        markup=False,
    )
    return training, test, validation


def check_before(config: "TrainConfig", photos: int, to_come: tuple[Path, ...] = ()) -> None:
    """Raise for what would end a run later: settings, weights to start from, packages with those, a folder.

    Args:
      config: the run.
      photos: how many are trained on.
      to_come: work folders that other runs will have filled by then, so that a start from them is in order.
    """
    from robust_iqa_jax.files import check_folder
    from robust_iqa_jax.models import checkpoint
    from robust_iqa_jax.training.loop import check, check_start

    check(config, photos)
    check_folder(workdir_of(config), "--workdir")
    if config.start_from is None:
        _has_pretrained(config.model.backbone)
    elif config.start_from not in to_come:
        check_start(config, checkpoint.load(config.start_from))


@cache
def _has_pretrained(name: str) -> None:
    """Raise where the ImageNet weights of a backbone are not there; read once, though ten runs of a study need them."""
    from robust_iqa_jax.models.backbone_table import backbone

    backbone(name).pretrained()


def workdir_of(config: "TrainConfig") -> Path:
    """Work folder of a run."""
    return config.workdir or Path("runs") / config.name


def run(
    config: "TrainConfig", training: "PhotoSet", test: "PhotoSet", validation: "PhotoSet | None" = None
) -> "tuple[Scorer, dict[str, float]]":
    """Train one configuration with a progress bar, then print and store its accuracy on the test photos (the first
    process does; the others return no accuracy)."""
    import jax

    from robust_iqa_jax.metrics import accuracy
    from robust_iqa_jax.models import checkpoint
    from robust_iqa_jax.training.calibration import predict
    from robust_iqa_jax.training.loop import train

    workdir = workdir_of(config)
    began = time.perf_counter()
    with bar() as progress:
        task = progress.add_task(f"training {config.name}", total=None, note="")

        def on_step(step: int, total: int, metrics: dict[str, float]) -> None:
            progress.update(task, completed=step, total=total, note=f"loss {metrics['loss']:.3f}")

        def on_photos(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, note="frozen maps")

        scorer = train(config, training, workdir, on_step, on_photos, validation)
    seconds = time.perf_counter() - began
    if jax.process_index() > 0:
        return scorer, {}
    facts: dict[str, Any] = {}
    try:
        facts = accuracy.summary(predict(scorer, test), test.scores)
        out.print(
            f"{config.name}: SROCC {facts['srocc']:.4f}  PLCC {facts['plcc']:.4f}  KROCC {facts['krocc']:.4f}  "
            f"RMSE {facts['rmse']:.3f} on {len(test)} test photos ({test.label}); {seconds:.0f} s; {workdir}"
        )
    except ValueError as error:  # such as equal scores for all photos: the model is kept, for whoever looks into it
        out.print(f"{config.name}: no accuracy on the {len(test)} test photos ({error}); {workdir}", markup=False)
    kept = {"config": dataclasses.replace(config, workdir=workdir).to_json(), "test": facts, "photos": len(training)}
    checkpoint.save(workdir / "model", scorer, kept)
    return scorer, facts
