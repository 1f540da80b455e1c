"""`riqa compare A B`: which of two evaluated models is more robust, and whether that survives another score range.
Example: riqa compare runs/quickstart:base runs/quickstart:with-block --out base_robust.png"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.extras import require
from robust_iqa_jax.files import check_file
from robust_iqa_jax.report.comparison import EvaluatedModel, compare, paragraph
from robust_iqa_jax.report.files import read_report
from robust_iqa_jax.wording import unknown


@dataclass(frozen=True)
class CompareArgs:
    """Compare two models by their report folders, in one paragraph and one figure."""

    a: Annotated[str, tyro.conf.Positional]
    """FOLDER:MODEL, or FOLDER where its report has one model. Ranges of its undefended baseline scale both."""
    b: Annotated[str, tyro.conf.Positional]
    """The other one, in the same way."""
    json: bool = False
    """Print the effects, intervals and the paragraph as JSON."""
    out: Path = Path("runs/compare.png")
    """The figure."""


def main(args: list[str]) -> int:
    """Exit status: 2 where the arguments name no two models."""
    given = parsed(CompareArgs, args, "riqa compare", __doc__)
    require("the figure", "matplotlib")
    check_file(given.out)
    try:
        a, b = (_model(text) for text in (given.a, given.b))
        if a.name == b.name:
            a, b = (dataclasses.replace(model, name=text) for model, text in ((a, given.a), (b, given.b)))
        if a.name == b.name:
            raise LookupError(f"{given.a} twice; give two models")
    except LookupError as error:
        err.print(f"riqa compare: {error.args[0]}", markup=False)
        return 2
    comparisons = compare(a, b)
    if not comparisons:
        raise ValueError(f"{a.name} and {b.name} have no attack and size in common that pushes scores one way")
    from robust_iqa_jax.report.plots import comparison, png

    png(comparison(comparisons, (a.name, b.name)), given.out)
    text = paragraph(a, b, comparisons)
    if given.json:
        rows = [each.as_json() for each in comparisons]
        print(json.dumps({"models": [a.name, b.name], "attacks": rows, "paragraph": text}, indent=2))
    else:
        out.print(text, markup=False)
        err.print(str(given.out), markup=False)
    return 0


def _model(text: str) -> EvaluatedModel:
    """The model that FOLDER or FOLDER:MODEL names.

    Raises:
      LookupError: the report has no such model, or several and none is named.
      ValueError: no report there.
    """
    folder, colon, model = text.rpartition(":")
    if not colon or Path(text).is_dir():
        folder, model = text, ""
    report, _ = read_report(folder)
    known = list(report.models)
    if not model and len(known) > 1:
        raise LookupError(f"{folder} has several models; give {folder}:MODEL with one of {', '.join(known)}")
    if model and model not in known:
        raise LookupError(f"{folder}: {unknown('model', model, known)}")
    return EvaluatedModel(report, model or known[0], model or known[0])
