"""Writes an evaluation as report.json, report.md, per_image.csv and tradeoff.png.
The headline is the gain on the undefended baseline's range; the other two scalings stand beside it (REFERENCE 5)."""

import csv
import io
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robust_iqa_jax.evaluation.plots import tradeoff

Row = dict[str, Any]


def write_report(
    folder: Path | str,
    rows: Sequence[Row],
    models: dict[str, Row],
    *,
    per_image: Sequence[Row] = (),
    title: str = "Robustness report",
    notes: Sequence[str] = (),
) -> None:
    """Write the report files; each appears whole or not at all.

    Args:
      folder: created where missing.
      rows: one a model, attack and eps (evaluation.evaluate.Report.rows).
      models: facts of each model; the first is the baseline.
      per_image: rows of per_image.csv; none writes no such file.
      title: of the Markdown page.
      notes: sentences below the title.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "report.json", json.dumps(_finite({"rows": list(rows), "models": models}), indent=2) + "\n")
    _write(folder / "report.md", markdown(rows, models, title, notes))
    if per_image:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(per_image[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(per_image)
        _write(folder / "per_image.csv", text.getvalue())
    tradeoff(rows, models, folder / "tradeoff.png")


def markdown(rows: Sequence[Row], models: dict[str, Row], title: str, notes: Sequence[str] = ()) -> str:
    """The report as a Markdown page."""
    lines = [f"# {title}", "", *notes, *([""] if notes else [])]
    lines += ["## Accuracy", "", "| model | SROCC | PLCC | KROCC | RMSE |", "| --- | --- | --- | --- | --- |"]
    for name, facts in models.items():
        cells = [_number(facts[measure]) for measure in ("srocc", "plcc", "krocc", "rmse")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "## Gain under attack",
        "",
        "AbsGain is the mean signed change of the score; 0 is a perfect defence. **Baseline range** (the headline)",
        "divides it by the undefended model's range of clean scores, own range by the model's own; raw is in score",
        "points. R-Score (MSU form) is higher for more robust models.",
        "",
        "| model | attack | eps | AbsGain, baseline range | AbsGain, own range | AbsGain, raw "
        "| R-Score, baseline range | R-Score, own range | SROCC under attack |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        names = ("abs_gain_baseline_range", "abs_gain", "abs_gain_raw", "rscore_baseline_range", "rscore")
        cells = [_number(row[name]) for name in (*names, "srocc_under_attack")]
        lines.append(f"| {row['model']} | {row['attack']} | {eps_text(row['eps'])} | {' | '.join(cells)} |")
    if any(facts.get("auc") for facts in models.values()):
        lines += [
            "",
            "## Area over eps",
            "",
            "Trapezoids over the sizes above, eps in [0,1] pixels.",
            "",
            "| model | attack | AbsGain, baseline range | AbsGain, own range | AbsGain, raw | R-Score, own range |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for name, facts in models.items():
            for attack, area in facts["auc"].items():
                names = ("abs_gain_baseline_range", "abs_gain", "abs_gain_raw", "rscore")
                lines.append(f"| {name} | {attack} | {' | '.join(_number(area[n], 5) for n in names)} |")
    lines += ["", *range_sentences(models), "", "![robustness against accuracy](tradeoff.png)", ""]
    return "\n".join(lines)


def range_sentences(models: dict[str, Row]) -> list[str]:
    """What each defended model's score range is of the baseline's, and what that does to its own-range gains."""
    first, *others = models.items()
    sentences = []
    for name, facts in others:
        share = facts["clean_range_of_baseline"]
        effect = "larger" if share < 1 else "smaller"
        sentences.append(
            f"{name}: clean scores span {100 * share:.0f} % of the range of {first[0]}, so the same change in score "
            f"points reads {1 / share:.2f} times as large on its own range ({effect} than on the baseline's)."
        )
    return sentences


def eps_text(eps: float | None) -> str:
    """ "4/255" where the size is a whole number of grey levels; "-" for an attack without a ball."""
    if eps is None:
        return "-"
    levels = eps * 255
    return f"{round(levels)}/255" if abs(levels - round(levels)) < 1e-4 else f"{eps:.5f}"


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _finite(value: Any) -> Any:
    """JSON has no NaN: null in its place."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)
