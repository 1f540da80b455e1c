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
from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.models.registry import COLLECTIONS, init
from robust_iqa_jax.models.releases import convert
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.weights.conversion import Report
from robust_iqa_jax.weights.linearity_iqa import rescale
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
    slope: float | None = None
    """Score = slope * output + intercept, on the data set's scale; the file's own where it has them, else 1 and 0."""
    intercept: float | None = None
    low: float | None = None
    """Lowest and highest score of the training set; the file's own, or the model's range."""
    high: float | None = None
    label: str = "mos"
    """What the scores are."""
    json: bool = False
    """Print the report as JSON."""


def main(args: list[str]) -> int:
    """Run the command; its exit status: 1 where the file does not fit."""
    parsed = tyro.cli(ConvertArgs, args=args, prog="riqa convert", description=__doc__)
    spec = preset(parsed.model)
    tensors, facts = read_tensors(parsed.source)
    variables, report, release = convert(tensors, spec)
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
    scorer = Scorer(whole, _calibration(parsed, spec, facts), spec, parsed.label)
    checkpoint.save(parsed.out, scorer, {"source": parsed.source.name, "release": release.name})
    if not parsed.json:
        out.print(f"{parsed.out}: {len(report.used)} tensors", markup=False, highlight=False)
    return 0


def _calibration(parsed: ConvertArgs, spec: ModelSpec, facts: dict[str, Any]) -> Calibration:
    """What the command line says, else the file, else the model's own range."""
    found = rescale(facts) if spec.architecture == "linearity" else None
    low, high = architecture(spec).score_range or (0.0, 100.0)
    stored = (1.0, 0.0, low, high)
    if found is not None:
        pairs = zip((found.slope, found.intercept, found.low, found.high), stored, strict=True)
        stored = tuple(default if value is None else value for value, default in pairs)
    given = (parsed.slope, parsed.intercept, parsed.low, parsed.high)
    return Calibration(*(jnp.float32(s if g is None else g) for g, s in zip(given, stored, strict=True)))


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
