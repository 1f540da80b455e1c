"""`riqa train CONFIG`: trains what a configuration describes and scores its held-out photos.
Example: riqa train clive_lite0 --data clive/scores.csv --test-group 0 --workdir runs/fold0"""

import dataclasses
import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from robust_iqa_jax.commands.arguments import NUMBERS, parsed
from robust_iqa_jax.commands.config_file import load_config, shipped
from robust_iqa_jax.commands.progress import bar, err, out

if TYPE_CHECKING:
    import numpy as np

    from robust_iqa_jax.data.photo_set import PhotoSet
    from robust_iqa_jax.models.scorer import Scorer
    from robust_iqa_jax.models.spec import ModelSpec
    from robust_iqa_jax.training.config import TrainConfig
    from robust_iqa_jax.training.photos import RunPhotos


@NUMBERS.struct_rule
def _model(info: tyro.constructors.StructTypeInfo) -> tyro.constructors.StructConstructorSpec | None:
    """Options of a model, with the names of the tables as choices where ModelSpec has strings."""
    from robust_iqa_jax.models.architectures import ARCHITECTURES
    from robust_iqa_jax.models.backbone_table import BACKBONES
    from robust_iqa_jax.models.spec import ModelSpec

    if info.type is not ModelSpec:
        return None
    names = {"architecture": ARCHITECTURES, "backbone": BACKBONES}
    # asked of a subclass, so that tyro's own rule answers and not this one
    same = dataclasses.replace(info, type=type("ModelOptions", (ModelSpec,), {}))
    options = tyro.constructors.ConstructorRegistry.get_struct_spec(same)
    assert isinstance(options, tyro.constructors.StructConstructorSpec)
    fields = [
        dataclasses.replace(field, type=Literal[tuple(names[field.name])]) if field.name in names else field
        for field in options.fields
    ]
    return dataclasses.replace(options, instantiate=ModelSpec, fields=tuple(fields))


def main(args: list[str]) -> int:
    """Train, score the held-out photos; the exit status."""
    if args and args[0] in ("-h", "--help"):
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
    photos = _photos(config, given=[argument.split("=")[0] for argument in args])
    check_before(config, photos.training)
    run(config, photos)
    return 0


def _config(args: list[str]) -> "TrainConfig":
    from robust_iqa_jax.training.config import TrainConfig

    return parsed(
        TrainConfig,
        args[1:],
        f"riqa train {args[0]}",
        __doc__,
        default=load_config(args[0], TrainConfig),
        config=(tyro.conf.AvoidSubcommands,),
    )


def _photos(config: "TrainConfig", given: list[str]) -> "RunPhotos":
    """The photos of the run, and lines on standard error that say which those are and why."""
    from robust_iqa_jax.commands.photos import described
    from robust_iqa_jax.training.photos import NOTHING, run_photos

    photos = run_photos(config)
    reason = "as given" if "--test-group" in given else "the configuration's, --test-group changes it"
    sets = " and ".join((config.data, *config.also))
    groups = "" if config.also else f", in groups {', '.join(sorted(set(photos.training.groups)))}"
    err.print(
        f"{sets}: training on {described(photos.training)}{groups}; held out: {len(photos.test)} photos of group "
        f"{config.test_group} ({reason})",
        markup=False,
    )
    for data, group in zip(config.also, config.also_test_groups, strict=False):
        held_out = "nothing" if group == NOTHING else f"{len(photos.tests[data])} photos of group {group}"
        err.print(f"{data}: held out: {held_out}", markup=False)
    return photos


def check_before(config: "TrainConfig", photos: "PhotoSet", to_come: tuple[Path, ...] = ()) -> None:
    """Raise for what would end a run later: settings, weights to start from, packages with those, a folder.

    Args:
      config: the run.
      photos: trained on.
      to_come: work folders that other runs will have filled by then, so that a start from them is in order.
    """
    from robust_iqa_jax.files import check_folder
    from robust_iqa_jax.models import checkpoint
    from robust_iqa_jax.training.run import resolve
    from robust_iqa_jax.training.start import check_start

    resolve(config, photos.scores)
    check_folder(workdir_of(config), "--workdir")
    if config.start_from is None:
        _has_pretrained(dataclasses.replace(config.model, block=None))
    elif config.start_from not in to_come:
        check_start(config, checkpoint.load(config.start_from))


@cache
def _has_pretrained(spec: "ModelSpec") -> None:
    """Raise where the ImageNet weights of a model are not there; read once, though ten runs of a study need them."""
    from robust_iqa_jax.models.architectures import architecture

    architecture(spec).pretrained(spec)


def workdir_of(config: "TrainConfig") -> Path:
    """Work folder of a run."""
    return config.workdir or Path("runs") / config.name


def run(config: "TrainConfig", photos: "RunPhotos") -> "tuple[Scorer, dict[str, float]]":
    """Train one configuration with a progress bar, then print and store its accuracy on the test photos of each data
    set, and by subset (the first process does; the others return no accuracy)."""
    import jax

    from robust_iqa_jax.evaluation.predictions import predict
    from robust_iqa_jax.metrics import accuracy
    from robust_iqa_jax.models import checkpoint
    from robust_iqa_jax.training.loop import train

    workdir = workdir_of(config)
    began = time.perf_counter()
    with bar() as progress:
        task = progress.add_task(f"training {config.name}", total=None, note="")

        def on_step(step: int, total: int, metrics: dict[str, float]) -> None:
            progress.update(task, completed=step, total=total, note=f"loss {metrics['loss']:.3f}")

        def on_photos(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, note="frozen maps")

        scorer = train(config, photos.training, workdir, on_step, on_photos, photos.validation)
    seconds = time.perf_counter() - began
    if jax.process_index() > 0:
        return scorer, {}
    facts: dict[str, dict[str, float]] = {}
    for data, test in photos.tests.items():
        scores = predict(scorer, test)
        for name, part in subsets(data, test).items():
            where = "" if name == config.data else f" of {name}"
            try:
                facts[name] = accuracy.summary(scores[part], test.scores[part])
            except ValueError as error:  # such as equal scores for all: the model is kept, for whoever looks into it
                out.print(
                    f"{config.name}: no accuracy on the {len(part)} test photos{where} ({error}); {workdir}",
                    markup=False,
                )
                continue
            values = "  ".join(f"{key.upper()} {facts[name][key]:.4f}" for key in ("srocc", "plcc", "krocc"))
            out.print(
                f"{config.name}: {values}  RMSE {facts[name]['rmse']:.3f} on {len(part)} test photos{where} "
                f"({test.label}); {seconds:.0f} s; {workdir}",
                markup=False,
            )
    test_facts = facts.get(config.data, {})
    resolved = dataclasses.replace(config, workdir=workdir).to_json()
    stored = {"config": resolved, "test": test_facts, "tests": facts, "photos": len(photos.training)}
    checkpoint.save(workdir / "model", scorer, stored)
    return scorer, test_facts


def subsets(data: str, photos: "PhotoSet") -> "dict[str, np.ndarray]":
    """Indices of all photos of a set, and of those of each of its subsets, by what to call them."""
    import numpy as np

    of = np.asarray(photos.subsets)
    parts = {f"{data}, subset {name}": np.flatnonzero(of == name) for name in sorted(set(photos.subsets))}
    return {data: np.arange(len(photos)), **parts}
