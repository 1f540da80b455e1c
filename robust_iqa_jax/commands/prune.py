"""`riqa prune CHECKPOINT`: masks the least important filters of a checkpoint, and removes them with --compact.
Example: riqa prune runs/base --data clive/scores.csv --test-group 0 --method pls --out runs/base-pls --compact"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from rich.table import Table

from robust_iqa_jax.commands.arguments import columns, parsed
from robust_iqa_jax.commands.checkpoint_output import check_output
from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.data.pipeline import resized
from robust_iqa_jax.defenses.compact import compact, parameter_count
from robust_iqa_jax.defenses.masks import apply_masks, pruned_share
from robust_iqa_jax.defenses.pruning import PruneMethod, prune
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import COLLECTIONS, build
from robust_iqa_jax.models.scorer import Scorer
from robust_iqa_jax.training.batch_stats import reestimate_batch_stats

TIMED, BATCH = 5, 4


@dataclass(frozen=True)
class PruneArgs:
    """Prune a checkpoint without training it; `riqa train --prune` fine-tunes as well."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Name of a model that ships, checkpoint, or work folder of a training run."""
    out: Path
    """Folder for the pruned checkpoint."""
    method: PruneMethod = "l2"
    """l2: filters of each convolution by norm; l1: single weights of all convolutions; pls, displs, hsic: filters by
    what their activations say about the scores."""
    amount: float = 0.1
    """Share to prune; 0 with --compact removes what training has pruned already."""
    data: str | None = None
    """Label table (CSV) or distorted-photos: for activations, and to measure batch statistics again once filters are
    gone. Without it only l1 and l2 work, and batch statistics stay."""
    test_group: str = "test"
    """Value of the table's split or fold column that is not looked at."""
    image_column: str | None = None
    """Columns of the label table, where their names are not recognised."""
    score_column: str | None = None
    group_column: str | None = None
    image_dir: str | None = None
    """Folder of a table's images, where they are not beside it or in images/."""
    compact: bool = False
    """Remove the filters where that does not change the scores (LinearityIQA over ResNet or EfficientNet-Lite)."""
    json: bool = False
    """Print sizes and times as JSON."""


def main(args: list[str]) -> int:
    """Prune, save and compare sizes and times; the exit status."""
    given = parsed(PruneArgs, args, "riqa prune", __doc__)
    check_output(given.out, [given.checkpoint, given.checkpoint / "model"], "pruning", "--out")
    scorer = checkpoint.load(given.checkpoint)
    photos = (
        None if given.data is None else split_photos(open_photos(given.data, **columns(given)), given.test_group)[0]
    )
    with err.status(f"pruning {given.checkpoint}"):
        pruned, share = masked(scorer, given.method, given.amount, photos)
        result = compact(pruned) if given.compact else pruned
    facts = {"source": given.checkpoint.name, "method": given.method, "amount": given.amount, "pruned_share": share}
    checkpoint.save(given.out, result, {"pruning": {**facts, "compact": given.compact}})
    with err.status("timing"):
        rows = costs({"before": scorer, "after": result})
    if given.json:
        print(json.dumps({**facts, **rows}, indent=2))
        return 0
    table = Table(given.out.name, "parameters", "of them not 0", "MB", "ms an image")
    for name, row in rows.items():
        numbers = row["parameters"], row["not_zero"], row["megabytes"], row["milliseconds"]
        table.add_row(name, *(f"{value:,}" if isinstance(value, int) else f"{value:.1f}" for value in numbers))
    out.print(table)
    return 0


def masked(scorer: Scorer, method: str, amount: float, photos: PhotoSet | None) -> tuple[Scorer, float]:
    """The scorer with filters at zero, its batch statistics measured again where there are photos; share pruned."""
    variables = {name: scorer.variables[name] for name in COLLECTIONS}
    masks = prune(method, amount, scorer.spec, variables, photos)
    variables["params"] = apply_masks(variables["params"], masks)
    if photos is not None:
        load = resized(photos, scorer.spec.input_size)
        variables = reestimate_batch_stats(build(scorer.spec), scorer.spec, variables, load, len(photos))
    return Scorer(variables, scorer.calibration, scorer.spec, scorer.label), pruned_share(masks)


def costs(scorers: dict[str, Scorer]) -> dict[str, dict[str, Any]]:
    """Parameters, megabytes of weights and median milliseconds an image of scorers, timed in turns."""
    shape = (BATCH, *next(iter(scorers.values())).spec.input_size, 3)
    images = jax.random.uniform(jax.random.key(0), shape)
    seconds: dict[str, list[float]] = {name: [] for name in scorers}
    prepared = {name: scorer.prepare() for name, scorer in scorers.items()}
    for _ in range(1 + TIMED):  # the first call compiles
        for name, scorer in prepared.items():
            began = time.perf_counter()
            jax.block_until_ready(scorer(images))
            seconds[name].append(time.perf_counter() - began)
    return {name: _cost(scorer, 1000 * float(np.median(seconds[name][1:])) / BATCH) for name, scorer in scorers.items()}


def _cost(scorer: Scorer, milliseconds: float) -> dict[str, Any]:
    stored = {name: scorer.variables[name] for name in COLLECTIONS}
    return {
        "parameters": parameter_count(stored),
        "not_zero": sum(int(np.count_nonzero(leaf)) for leaf in jax.tree.leaves(stored["params"])),
        "megabytes": sum(leaf.nbytes for leaf in jax.tree.leaves(stored)) / 1e6,
        "milliseconds": milliseconds,
    }
