"""`riqa train CONFIG`: trains what a configuration file describes and scores its held-out photos.
Example: riqa train configs/clive_lite0.py --data clive/scores.csv --test-group 0 --workdir runs/fold0"""

import os
import time
from pathlib import Path

import jax
import tyro

from robust_iqa_jax.commands.config_file import load_config
from robust_iqa_jax.commands.progress import bar, err, out
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.evaluation import accuracy
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.scorer import Scorer
from robust_iqa_jax.training.calibration import predict
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.loop import train
from robust_iqa_jax.training.processes import join_processes


def main(args: list[str]) -> int:
    """Run the command; its exit status."""
    if not args or args[0].startswith("-"):
        err.print("riqa train: give a configuration first, for example: riqa train configs/clive_lite0.py --help")
        return 0 if args and args[0] in ("-h", "--help") else 2
    config = tyro.cli(
        TrainConfig,
        default=load_config(args[0], TrainConfig),
        args=args[1:],
        prog=f"riqa train {args[0]}",
        description=__doc__,
        config=(tyro.conf.AvoidSubcommands,),
    )
    join_processes(os.environ)
    photos = open_photos(config.data)
    group = config.validation_group
    training, test = split_photos(photos, config.test_group, group)
    run(config, training, test, None if group is None else photos.select([group]))
    return 0


def run(
    config: TrainConfig, training: PhotoSet, test: PhotoSet, validation: PhotoSet | None = None
) -> tuple[Scorer, dict[str, float]]:
    """Train one configuration with a progress bar, then print and store its accuracy on the test photos (the first
    process does; the others return no accuracy)."""
    workdir = config.workdir or Path("runs") / config.name
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
    facts = accuracy.summary(predict(scorer, test), test.scores)
    out.print(
        f"{config.name}: SROCC {facts['srocc']:.4f}  PLCC {facts['plcc']:.4f}  KROCC {facts['krocc']:.4f}  "
        f"RMSE {facts['rmse']:.3f} on {len(test)} test photos ({test.label}); {seconds:.0f} s; {workdir}"
    )
    checkpoint.save(workdir / "model", scorer, {"config": config.to_json(), "test": facts, "photos": len(training)})
    return scorer, facts
