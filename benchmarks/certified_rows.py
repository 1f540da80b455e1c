"""What the benchmark of certificates finds: a row, the table and the plot."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from robust_iqa_jax.benchmarks.machine import machine
from robust_iqa_jax.report.plots import COLOURS, MARKERS


@dataclass(frozen=True)
class Certified:
    """One model, one way of certifying it, one radius; scores in points, widths and gains in ranges of plain scores.

    Attributes:
      model, way: name; "noise SIGMA" or "weights".
      norm, radius: of the change.
      srocc: of the certified scores with people's.
      worst, best: bounds of the SROCC of scores inside their intervals.
      width: mean of the intervals.
      raised, lowered: mean gains of the strongest attack, photo by photo; None where none ran.
      closest: greatest share of an interval's half that an attack went.
      outside: attacked scores that left their intervals.
      seconds: a photo's certificate.
    """

    model: str
    way: str
    norm: str
    radius: float
    srocc: float
    worst: float
    best: float
    width: float
    raised: float | None
    lowered: float | None
    closest: float | None
    outside: int | None
    seconds: float


def markdown(rows: Sequence[Certified], title: str, conditions: str) -> str:
    """The table, how it was made, and what its columns are."""
    lines = [f"# {title}", ""]
    lines += [f"{key}: {value}  " for key, value in machine().items()]
    lines += [
        "",
        f"{conditions} Widths and gains are shares of the "
        "model's own range of plain scores; closest: the greatest share of a side of an "
        "interval that an attack went; s: seconds of a photo's certificate, compilation included.",
        "",
        "| model | by | norm | radius | SROCC | least | most | width | raised | lowered | closest | outside | s |",
        "| --- | --- | --- | ---: |" + " ---: |" * 9,
    ]
    for row in rows:
        size = f"{row.radius:.3g}" if row.norm == "l2" else f"{row.radius * 255:.3g}/255"
        gains = [row.raised, row.lowered, row.closest, row.outside]
        texts = ["" if value is None else f"{value:+.3f}" for value in gains[:2]]
        texts.append("" if row.closest is None else f"{row.closest:.0%}")
        texts.append("" if row.outside is None else str(row.outside))
        agreement = f"{row.srocc:.3f} | {row.worst:.3f} | {row.best:.3f} | {row.width:.3f}"
        lines.append(
            f"| {row.model} | {row.way} | {row.norm} | {size} | {agreement} | {' | '.join(texts)} | {row.seconds:.2f} |"
        )
    return "\n".join([*lines, ""])


def plot(rows: Sequence[Certified]) -> Figure:
    """Against the l2 radius: half the width of the intervals with what attacks reached, and what is left of SROCC."""
    figure = Figure(figsize=(11, 4.6), dpi=130, layout="constrained")
    widths, agreement = figure.subplots(1, 2)
    series: dict[tuple[str, str], list[Certified]] = {}
    for row in rows:
        if row.norm == "l2":
            series.setdefault((row.model, row.way), []).append(row)
    for place, ((model, way), points) in enumerate(series.items()):
        look = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
        radii = [row.radius for row in points]
        widths.plot(radii, [row.width / 2 for row in points], **look, label=f"{model}, {way}")
        hit = [row for row in points if row.raised is not None and row.lowered is not None]
        reached = [max(row.raised or 0, -(row.lowered or 0)) for row in hit]
        widths.plot([row.radius for row in hit], reached, **look, linestyle="none", markerfacecolor="none")
        agreement.plot(radii, [row.srocc for row in points], **look)
        agreement.plot(radii, [row.worst for row in points], **look, linestyle=":")
    widths.set(xscale="log", yscale="log", xlabel="l2 radius, [0,1] pixels", ylabel="share of the range of scores")
    widths.set_title("certified half-width (line), attacks (hollow)", fontsize=10)
    agreement.set(xscale="log", xlabel="l2 radius, [0,1] pixels", ylabel="SROCC with people")
    agreement.set_title("of the scores (line), guaranteed (dotted)", fontsize=10)
    for axes in (widths, agreement):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure
