"""The trade-off figure: robustness against accuracy, one point a model and attack, beside gain against attack size.
Colours from Okabe & Ito's colour-blind-safe set; shapes and line styles repeat what colours say."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

Row = dict[str, Any]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLES = ("--", "-", ":", "-.")


def tradeoff(rows: Sequence[Row], models: dict[str, Row], path: Path) -> None:
    """Draw the figure to a PNG file.

    Left: mean AbsGain on the baseline's range over the attack sizes (lower is better) against SROCC (right is better).
    Right: AbsGain against attack size. Models by colour and marker, attacks by filling and line style.

    Args:
      rows: one a model, attack and eps; attacks without a ball (eps None) have no curve.
      models: facts by model name, with "srocc" (None draws the curves only).
      path: PNG file, replaced atomically.
    """
    attacks = list(dict.fromkeys(row["attack"] for row in rows))
    figure = Figure(figsize=(11, 5), dpi=110, layout="constrained")
    points, curves = figure.subplots(1, 2)
    for m, name in enumerate(models):
        colour, marker = COLOURS[m % len(COLOURS)], MARKERS[m % len(MARKERS)]
        for a, attack in enumerate(attacks):
            line = [row for row in rows if row["model"] == name and row["attack"] == attack]
            gains = [row["abs_gain_baseline_range"] for row in line]
            if not gains:
                continue
            face = colour if a % 2 else "white"
            sized = sorted((row["eps"], row["abs_gain_baseline_range"]) for row in line if row["eps"] is not None)
            curves.plot(
                [255 * eps for eps, _ in sized],
                [gain for _, gain in sized],
                color=colour,
                linestyle=STYLES[a % len(STYLES)],
                marker=marker,
                markerfacecolor=face,
            )
            if models[name]["srocc"] is not None:
                points.plot(
                    models[name]["srocc"],
                    sum(gains) / len(gains),
                    color=colour,
                    linestyle="none",
                    marker=marker,
                    markersize=10,
                    markerfacecolor=face,
                    markeredgewidth=1.8,
                )
    for axes in (points, curves):
        axes.grid(alpha=0.3)
        axes.axhline(0, color="#888888", linewidth=0.8)
        axes.margins(0.12)
    points.set_xlabel("SROCC (right is better)")
    points.set_ylabel("mean AbsGain over eps, baseline range (lower is better)")
    points.set_title("Robustness against accuracy")
    curves.set_xlabel("attack size eps (grey levels of 255)")
    curves.set_ylabel("AbsGain, baseline range (lower is better)")
    curves.set_title("Gain against attack size")
    figure.legend(handles=_legend(list(models), attacks), loc="outside lower center", ncols=4, frameon=False)
    temporary = path.with_name(path.name + ".tmp")
    FigureCanvasAgg(figure).print_png(str(temporary))
    os.replace(temporary, path)


def _legend(models: Sequence[str], attacks: Sequence[str]) -> list[Line2D]:
    entries = [
        Line2D([], [], color=COLOURS[m % len(COLOURS)], marker=MARKERS[m % len(MARKERS)], linestyle="none", label=name)
        for m, name in enumerate(models)
    ]
    for a, attack in enumerate(attacks):
        face = "#444444" if a % 2 else "white"
        entries.append(
            Line2D([], [], color="#444444", linestyle=STYLES[a % 4], marker="o", markerfacecolor=face, label=attack)
        )
    return entries
