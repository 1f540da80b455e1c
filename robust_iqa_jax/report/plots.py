"""Figures of a report: robustness against accuracy with its Pareto front, gain against size, scores under attack.
Colours from Okabe & Ito's colour-blind-safe set; shapes repeat what colours say."""

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robust_iqa_jax.files import own_file
from robust_iqa_jax.report.comparison import Comparison
from robust_iqa_jax.report.findings import pareto_front, tradeoff_points
from robust_iqa_jax.report.types import GainRow, ImageRow, ModelFacts

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, GREY = "#000000", "#7F7F7F"
"""Of text and axes, and of what stands behind the data; `svg` follows the reader's light or dark page."""


class NotebookFigure(Figure):
    """A figure that notebooks show as the value of a cell, whether matplotlib's own display is set up or not."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        _print_png(self, file)
        return file.getvalue()


def tradeoff(rows: Sequence[GainRow], models: Mapping[str, ModelFacts], attacks: Sequence[str]) -> NotebookFigure:
    """Two panels for each attack, all models in each, or the second one alone where no model has an accuracy.

    First: mean |AbsGain| over the attack sizes on the baseline's range (lower is better) against SROCC (right is
    better), with the Pareto front. Second: AbsGain against attack size.

    Args:
      rows: one a model, attack and eps; an attack with fewer than two sizes has marks side by side.
      models: facts by model name, with "srocc" (None leaves a model out of the first).
      attacks: names.
    """
    kinds = (_scatter, _curves) if any(facts["srocc"] is not None for facts in models.values()) else (_curves,)
    panels = [(panel, attack) for attack in attacks for panel in kinds]
    lines = max(-(-len(panels) // 2), 1)
    figure = NotebookFigure(figsize=(9.6, 3.5 * lines + 0.4), dpi=110, layout="constrained")
    grid = figure.subplots(lines, 2, squeeze=False).flatten()
    for axes, (panel, attack) in zip(grid, panels, strict=False):
        panel(axes, rows, models, attack)
    for axes in grid[len(panels) :]:
        _empty(axes, "No opinion scores, so no accuracy." if attacks else "no attack")
    _legend(figure, list(models))
    return figure


def _scatter(axes: Axes, rows: Sequence[GainRow], models: Mapping[str, ModelFacts], attack: str) -> None:
    axes.set_title(f"{label(attack)}: robustness against accuracy", fontsize=10)
    points, names = tradeoff_points(rows, models, attack), list(models)
    if not points:
        _empty(axes, "No model has both.")
        return
    front = [points[name] for name in pareto_front(points)]
    axes.plot(
        [accuracy for accuracy, _ in front], [moved for _, moved in front], color=GREY, linestyle="--", zorder=1,
        drawstyle="steps-post",
    )  # fmt: skip
    for name, (accuracy, moved) in points.items():
        axes.plot(accuracy, moved, **{**_style(names.index(name)), "linestyle": "none", "markersize": 10})
    axes.set_xlabel("SROCC (right is better)")
    axes.set_ylabel("mean |AbsGain|, baseline range")
    _background(axes)


def _curves(axes: Axes, rows: Sequence[GainRow], models: Mapping[str, ModelFacts], attack: str) -> None:
    """Gain against size; side by side in the legend's order where there are no two sizes, whose marks would overlap."""
    axes.set_title(f"{label(attack)}: gain", fontsize=10)
    own = [row for row in rows if row["attack"] == attack]
    known = [(row, gain) for row in own if (gain := row["abs_gain_baseline_range"]) is not None]
    sizes = sorted({255 * row["eps"] for row, _ in known if row["eps"] is not None})
    for m, name in enumerate(models):
        mine = [(row["eps"], gain) for row, gain in known if row["model"] == name]
        if len(sizes) > 1:
            line = sorted((255 * eps, gain) for eps, gain in mine if eps is not None)
        else:
            line = [(float(m), gain) for _, gain in mine]
        axes.plot([x for x, _ in line], [gain for _, gain in line], **_style(m), linewidth=1.6)
    if len(sizes) > 1:
        axes.set_xlabel("attack size eps (grey levels of 255)")
        if len(sizes) <= 10:
            axes.set_xticks(sizes, [f"{size:.3g}" for size in sizes])
    else:
        axes.set_xticks([])
        axes.set_xlabel(f"models, all at eps {sizes[0]:.3g} of 255" if sizes else "models; this attack has no size")
    axes.set_ylabel("AbsGain, baseline range")
    _background(axes)


def score_distributions(per_image: Sequence[ImageRow], models: Sequence[str], attack: str) -> Figure:
    """Box plots of the scores of clean and attacked photos, a panel a model on one score axis.

    Boxes span the quartiles, whiskers 1.5 times that, points lie beyond.

    Args:
      per_image: one row a model, attack, eps and image.
      models: names.
      attack: name.
    """
    columns = min(len(models), 4)
    lines = -(-len(models) // columns)
    figure = Figure(figsize=(9.6, 2.9 * lines), dpi=110, layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True).flat
    for m, (name, axes) in enumerate(zip(models, grid, strict=False)):
        mine = [row for row in per_image if (row["model"], row["attack"]) == (name, attack)]
        sizes = list(dict.fromkeys(row["eps"] for row in mine))
        clean = list({row["image"]: row["clean"] for row in mine}.values())
        boxes = [clean, *([row["attacked"] for row in mine if row["eps"] == eps] for eps in sizes)]
        ticks = ["clean", *("attacked" if eps is None else f"{255 * eps:.3g}" for eps in sizes)]
        drawn = axes.boxplot(
            boxes,
            tick_labels=ticks,
            widths=0.6,
            patch_artist=True,
            medianprops={"color": INK, "linewidth": 1.6},
            whiskerprops={"color": GREY},
            capprops={"color": GREY},
            boxprops={"edgecolor": GREY},
            flierprops={"marker": ".", "markersize": 4, "markeredgecolor": GREY},
        )
        for b, box in enumerate(drawn["boxes"]):
            box.set_facecolor("none" if b == 0 else _colour(m))
            box.set_alpha(1 if b == 0 else 0.55)
        axes.set_title(label(name, 24), fontsize=10)
        axes.set_xlabel("eps (grey levels)" if sizes != [None] else " ")
        axes.grid(axis="y", color=GREY, alpha=0.3)
    for axes in list(grid):
        axes.set_axis_off()
    figure.axes[0].set_ylabel("score")
    return figure


def comparison(comparisons: Sequence[Comparison], names: Sequence[str]) -> Figure:
    """Two models under every attack, on two ranges, each attack a line between two marks.

    Args:
      comparisons: of the two models, one an attack.
      names: of the two models.
    """
    figure = Figure(figsize=(9.6, 1.9 + 0.42 * len(comparisons)), dpi=110, layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    own, baseline = [each.own for each in comparisons], [each.baseline for each in comparisons]
    for axes, effects, title in zip(panels, (own, baseline), ("own range", "baseline's range"), strict=True):
        for line, of_attack in enumerate(effects):
            pair = of_attack.first, of_attack.second
            axes.plot(pair, (line, line), color=GREY, linewidth=2, zorder=1)
            for m, moved in enumerate(pair):
                axes.plot(moved, line, **{**_style(m), "linestyle": "none", "markersize": 9}, clip_on=False)
        axes.set_xlabel("mean |AbsGain| over sizes (left is better)")
        axes.set_title(title, fontsize=10)
        axes.grid(color=GREY, alpha=0.3)
    panels[0].set_xlim(left=0)
    panels[0].set_yticks(range(len(comparisons)), [label(each.attack) for each in comparisons])
    panels[0].set_ylim(len(comparisons) - 0.5, -0.5)
    _legend(figure, names)
    return figure


def png(figure: Figure, path: Path) -> None:
    """Write a PNG file, whole or not at all."""
    with own_file(path) as temporary:
        _print_png(figure, str(temporary))


def _print_png(figure: Figure, to: str | io.BytesIO) -> None:
    """Without a warning for names whose letters the font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        FigureCanvasAgg(figure).print_png(to)


def label(name: str, longest: int = 40) -> str:
    """A name as matplotlib draws it literally: "$" starts no formula, "_" at the start does not hide it."""
    short = name if len(name) <= longest else name[: longest - 1] + "…"
    return (" " if short.startswith("_") else "") + short.replace("$", r"\$")


def _colour(m: int) -> str:
    return COLOURS[m % len(COLOURS)]


def _style(m: int) -> dict[str, Any]:
    """Colour and marker of model m; their numbers share no factor, so that 56 models differ."""
    return {"color": _colour(m), "marker": MARKERS[m % len(MARKERS)], "linestyle": "-"}


def _background(axes: Axes) -> None:
    axes.grid(color=GREY, alpha=0.3)
    axes.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    axes.margins(0.12)


def _empty(axes: Axes, why: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=INK)


def _legend(figure: Figure, names: Sequence[str]) -> None:
    entries = [Line2D([], [], **{**_style(m), "linestyle": "none"}, label=label(name)) for m, name in enumerate(names)]
    figure.legend(handles=entries, loc="outside lower center", ncols=4, frameon=False)
