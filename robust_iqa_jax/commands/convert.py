"""`riqa convert IN OUT --model NAME`: a checkpoint of PyTorch, safetensors, Flax or orbax as one of ours.
Example: riqa convert p1q2.pth runs/linearity --model linearity-resnext101_32x8d"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import tyro
from rich.table import Table

from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.models.registry import COLLECTIONS, init
from robust_iqa_jax.models.releases import convert
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.weights.conversion import Report
from robust_iqa_jax.weights.read import read_tensors


@dataclass(frozen=True)
class ConvertArgs:
    """Convert a checkpoint."""

    source: Annotated[Path, tyro.conf.Positional]
    """.pth or .pt (read without executing it), .safetensors, .msgpack, or a folder of orbax."""
    out: Annotated[Path, tyro.conf.Positional]
    """Folder for the converted checkpoint, written only where everything fits."""
    model: str
    """What the weights belong to; `riqa models` lists the names."""
    allow_missing: bool = False
    """Draw what the file lacks and leave out what the model lacks: to start training from a backbone, say."""
    slope: float = 1.0
    """Score = slope * output + intercept, on the data set's scale."""
    intercept: float = 0.0
    low: float = 0.0
    """Lowest and highest score of the training set."""
    high: float = 100.0
    label: str = "mos"
    """What the scores are."""
    json: bool = False
    """Print the report as JSON."""


def main(args: list[str]) -> int:
    """Run the command; its exit status: 1 where the file does not fit."""
    parsed = tyro.cli(ConvertArgs, args=args, prog="riqa convert", description=__doc__)
    spec = preset(parsed.model)
    variables, report, release = convert(read_tensors(parsed.source), spec)
    if parsed.json:
        print(json.dumps({"release": release.name, **dataclasses.asdict(report)}, indent=2))
    else:
        _show(report, f"{parsed.source} as {parsed.model}, names of {release.name}")
    problems = report.problems(parsed.allow_missing)
    if problems or not report.used:
        cure = "" if report.misshapen or report.not_finite else "; --allow-missing takes what fits"
        err.print(f"riqa convert: {parsed.source} does not fit {parsed.model}: {problems}{cure}", markup=False)
        return 1
    if report.missing:
        variables = _filled(variables, jax.jit(lambda key: init(spec, key))(jax.random.key(0)))
    whole = {name: jax.tree.map(jnp.asarray, variables.get(name, {})) for name in COLLECTIONS}
    fields = (parsed.slope, parsed.intercept, parsed.low, parsed.high)
    scorer = Scorer(whole, Calibration(*(jnp.float32(value) for value in fields)), spec, parsed.label)
    checkpoint.save(parsed.out, scorer, {"source": parsed.source.name, "release": release.name})
    if not parsed.json:
        out.print(f"{parsed.out}: {len(report.used)} tensors", markup=False, highlight=False)
    return 0


def _filled(found: dict[str, Any], drawn: dict[str, Any]) -> dict[str, Any]:
    flat = {**flax.traverse_util.flatten_dict(drawn), **flax.traverse_util.flatten_dict(found)}
    return flax.traverse_util.unflatten_dict(flat)


def _show(report: Report, title: str) -> None:
    table = Table("tensors", "number", "names", title=title)
    for field in dataclasses.fields(report):
        names = getattr(report, field.name)
        shown = "" if field.name == "used" else "\n".join(names[:20]) + ("\n..." if len(names) > 20 else "")
        table.add_row(field.name.replace("_", " "), str(len(names)), shown)
    out.print(table)
