r"""Tables as LaTeX with booktabs, to \input into a paper.
Source: this project; rules after the booktabs package's documentation."""

import re
from collections.abc import Sequence

from robust_iqa_jax.report.table import Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: "\\" + character for character in "&%$#_{}"},
}


def latex(tables: Sequence[Table]) -> str:
    r"""One table environment for each; labels are "tab:KEY".

    Long tables shrink to the width of the text. A minus sign is set as one, other text as it is, escaped.
    """
    head = [r"% needs \usepackage{booktabs,graphicx} and a UTF-8 engine or \usepackage[utf8]{inputenc}", ""]
    return "\n".join([*head, *(line for table in tables for line in _table(table))])


def _table(table: Table) -> list[str]:
    kinds = "".join("r" if column.right else "l" for column in table.columns)
    caption = escape(f"{table.title}. {table.note}".strip().replace("**", ""))
    return [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{table.key}}}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        _line([escape(column.title) for column in table.columns]),
        r"\midrule",
        *(_line([_cell(cell) for cell in row]) for row in table.texts()),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
        "",
    ]


def escape(text: str) -> str:
    """Text that LaTeX sets literally."""
    return "".join(SPECIAL.get(character, character) for character in " ".join(text.split()))


def _cell(text: str) -> str:
    if text == "-":
        return "--"
    return f"${text}$" if re.fullmatch(r"-[\d.]+", text) else escape(text)


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
