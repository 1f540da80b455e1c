"""A matplotlib figure as SVG inside a web page: text stays text, ink and grid take the page's light or dark colours.
Source: this project; the format is SVG 1.1 as matplotlib's backend writes it."""

import io
import re
import warnings
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from robust_iqa_jax.report.plots import GREY, INK

SETTINGS: dict[Any, str] = {"svg.fonttype": "none", "svg.hashsalt": "riqa", "font.family": "sans-serif"}


def svg(figure: Figure, key: str, description: str) -> str:
    """The element <svg>, without what only a file of its own needs.

    Args:
      figure: drawn with its background left out, which the page has.
      key: letters, digits and "-", unique in the page: it goes before every id, which the figures would share.
      description: read out in place of the figure; HTML-escaped text.
    """
    text = io.StringIO()
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
    inner = text.getvalue()
    inner = inner[inner.index("<svg") :]
    inner = re.sub(r"<metadata>.*?</metadata>", "", inner, flags=re.DOTALL)
    inner = re.sub(r' xmlns(:xlink)?="[^"]*"', "", inner)
    inner = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{key}-", inner)
    inner = re.sub(INK, "var(--ink)", inner, flags=re.IGNORECASE)
    inner = re.sub(GREY, "var(--grid)", inner, flags=re.IGNORECASE)
    return re.sub(r'(<svg) [^>]*?(viewBox="[^"]*")[^>]*>', rf'\1 \2 role="img" aria-label="{description}">', inner)
