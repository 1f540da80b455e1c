"""`riqa convert IN OUT --model NAME`: a checkpoint of PyTorch, safetensors, Flax, NumPy or orbax as one of ours.
Examples: riqa convert p1q2.pth runs/linearity --model linearity-resnext101_32x8d;
riqa convert spaq_ckpt.npz runs/musiq --model musiq --input-size 512 683"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import flax.traverse_util
import jax
import jax.numpy as jnp
import tyro
from rich.table import Table

from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.checkpoint_output import check_output
from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.models.registry import COLLECTIONS, init
from robust_iqa_jax.models.releases import convert
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.weights.conversion import Report, listed
from robust_iqa_jax.weights.read import ReadCheckpoint, read_checkpoint
from robust_iqa_jax.weights.tensor_checks import check_calibration


@dataclass(frozen=True)
class ConvertArgs:
    """Convert a checkpoint."""

    source: Annotated[Path, tyro.conf.Positional]
    """.pth or .pt (read without executing it), .safetensors, .msgpack, .npz, an index of shards (.index.json), or a
    folder of orbax or Hugging Face."""
    out: Annotated[Path, tyro.conf.Positional]
    """Folder for the converted checkpoint, written only where everything fits."""
    model: str
    """What the weights belong to; `riqa models` lists the names."""
    input_size: tuple[int, int] | None = None
    """Height and width that photos are resized to; the model's own, where nothing is said."""
    entry: str = ""
    """Part of the file to take where it has several, such as params_ema; else plain weights before averaged ones."""
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
    given = parsed(ConvertArgs, args, "riqa convert", __doc__)
    spec = preset(given.model)
    if given.input_size is not None:
        spec = dataclasses.replace(spec, input_size=given.input_size)
        least = 1 if spec.crops is None else spec.crops.side
        if min(given.input_size) < least:
            raise ValueError(f"--input-size: height and width of at least {least} expected, got {given.input_size}")
    check_output(given.out, [given.source], "release")
    found = read_checkpoint(given.source, given.entry)
    variables, report, release = convert(found.tensors, spec)
    calibration, origin = _calibration(given, spec, found)
    notes = [*_notes(found, report), *_missing_scale(origin, spec)]
    if given.json:
        described = {name: float(value) for name, value in vars(calibration).items()}
        facts = {"entry": found.entry, "left_out": found.left_out, "calibration": described, "notes": notes}
        print(json.dumps({"release": release.name, **dataclasses.asdict(report), **facts}, indent=2))
    else:
        _show(report, f"{given.source} as {given.model}, names of {release.name}", notes)
    problems = report.problems(given.allow_missing)
    if problems or not report.used:
        values = report.misshapen or report.not_finite or report.negative or report.not_floats
        cure = "" if values else "; --allow-missing takes what fits"
        why = problems or "none of its names are the model's"
        err.print(f"riqa convert: {given.source} does not fit {given.model}: {why}{cure}", markup=False)
        return 1
    if report.missing:
        variables = _filled(variables, jax.jit(lambda key: init(spec, key))(jax.random.key(0)))
    whole = {name: jax.tree.map(jnp.asarray, variables.get(name, {})) for name in COLLECTIONS}
    scorer = Scorer(whole, calibration, spec, given.label)
    checkpoint.save(given.out, scorer, {"source": given.source.name, "release": release.name, "entry": found.entry})
    if not given.json:
        out.print(f"{given.out}: {len(report.used)} tensors", markup=False, highlight=False)
    return 0


Origin = Literal["given", "file", "none"]
"""Where slope and intercept come from."""


def _calibration(given: ConvertArgs, spec: ModelSpec, read: ReadCheckpoint) -> tuple[Calibration, Origin]:
    """What the command line says, else the file, else the model's own range."""
    options = {"slope": given.slope, "intercept": given.intercept, "low": given.low, "high": given.high}
    record = architecture(spec)
    low, high = record.score_range or (0.0, 100.0)
    values = {"slope": 1.0, "intercept": 0.0, "low": low, "high": high}
    found = record.rescale.read({**read.facts, **read.tensors}) if None in options.values() else None
    for stored in (vars(found) if found else {}, options):
        values.update((name, value) for name, value in stored.items() if value is not None)
    try:
        check_calibration(values)
    except ValueError as error:
        raise ValueError(f"{given.source}: {error}; give --slope, --intercept, --low and --high") from error
    if values["slope"] == 0:
        raise ValueError(f"{given.source}: slope 0 gives all photos the same score; give another --slope")
    if values["low"] >= values["high"]:
        raise ValueError(
            f"{given.source}: low {values['low']:g} is not below high {values['high']:g}; give --low, --high"
        )
    calibration = Calibration(**{name: jnp.float32(value) for name, value in values.items()})
    whole = given.slope is not None and given.intercept is not None
    return calibration, "given" if whole else "file" if found else "none"


def _notes(read: ReadCheckpoint, report: Report) -> list[str]:
    """What was chosen or passed over in the file."""
    others = (*read.others, *report.twins)
    taken = read.entry or report.prefix.rstrip("./")
    notes = []
    if others:
        what = taken or "the names without a prefix"
        notes.append(f"weights of {what} taken; the file also has {', '.join(others)}: --entry {others[0]} takes those")
    elif taken:
        notes.append(f"weights of {taken} taken")
    if left := [name for name in report.outside if not name.startswith(tuple(f"{twin}." for twin in report.twins))]:
        notes.append(f"left out, not under {report.prefix.rstrip('./')}: {listed(tuple(left))}")
    if read.left_out:
        notes.append(f"left out, no tensors: {listed(read.left_out)}")
    return notes


def _missing_scale(origin: Origin, spec: ModelSpec) -> list[str]:
    """A warning where a model whose scores have no scale of their own is left without one."""
    record = architecture(spec)
    if origin != "none" or record.score_range is not None:
        return []
    return [
        f"the file has no {record.rescale.words}: scores are the network's outputs; give --slope and --intercept for "
        "opinion scores"
    ]


def _filled(found: dict[str, Any], drawn: dict[str, Any]) -> dict[str, Any]:
    flat = {**flax.traverse_util.flatten_dict(drawn), **flax.traverse_util.flatten_dict(found)}
    return flax.traverse_util.unflatten_dict(flat)


def _show(report: Report, title: str, notes: list[str]) -> None:
    table = Table("tensors", "number", "names", title=title)
    for field in dataclasses.fields(report):
        names = getattr(report, field.name)
        if isinstance(names, tuple) and field.name not in ("outside", "twins"):
            shown = "" if field.name == "used" else "\n".join(names[:20]) + ("\n..." if len(names) > 20 else "")
            table.add_row(field.name.replace("_", " "), str(len(names)), shown)
    out.print(table)
    for note in notes:
        out.print(f"note: {note}", markup=False, highlight=False)
