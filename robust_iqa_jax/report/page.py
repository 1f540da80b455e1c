"""A report as one HTML page that needs no network: figures as inline SVG, tables that sort, light and dark.
Source: this project; the behaviour of sortable headers follows the W3C ARIA Authoring Practices' sortable table."""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from robust_iqa_jax.report.answer import answer_table, decisive, recommendation
from robust_iqa_jax.report.comparison import worth
from robust_iqa_jax.report.findings import WHICH, label_notes, undefended, worst_images
from robust_iqa_jax.report.plots import score_distributions, tradeoff
from robust_iqa_jax.report.svg import svg
from robust_iqa_jax.report.table import Table
from robust_iqa_jax.report.tables import tables
from robust_iqa_jax.report.types import ReportData
from robust_iqa_jax.wording import attack_text

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1b1f24; --soft: #57606a; --grid: #8c959f; --line: #d0d7de;
  --band: #f3f5f7; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --ink: #e6e9ec; --soft: #a3abb3; --grid: #7d858d;
  --line: #3a4149; --band: #1e2328; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 70rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 .25rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); font-size: 1.25rem; }
p, li { max-width: 50rem; overflow-wrap: anywhere; }
.note, figcaption { color: var(--soft); font-size: .9rem; }
summary { cursor: pointer; font-weight: 600; }
details { margin: 1rem 0; }
nav a { display: inline-block; margin-right: 1rem; color: var(--accent); }
figure { margin: 1rem 0; overflow-x: auto; }
figcaption { font-weight: 600; }
figure svg { display: block; width: 100%; min-width: 40rem; height: auto; fill: var(--ink); }
figure svg text { fill: var(--ink); }
.wide { overflow-x: auto; }
.first { overflow-x: auto; }
@media (max-width: 45rem) { .first table, .first tbody, .first tr, .first td { display: block; }
  .first thead { display: none; } .first tr { margin-bottom: 1rem; border-top: 2px solid var(--line); }
  .first td { display: flex; justify-content: space-between; gap: 1rem; white-space: normal; text-align: right; }
  .first td::before { content: attr(data-title); color: var(--soft); text-align: left; } }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid var(--line); vertical-align: bottom; }
td { border-bottom: 1px solid var(--line); white-space: nowrap; }
td.long { min-width: 16rem; white-space: normal; overflow-wrap: anywhere; }
tbody tr:hover { background: var(--band); }
.right { text-align: right; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
th button::after { content: "\\2195"; margin-left: .3em; color: var(--grid); }
th[aria-sort=ascending] button::after { content: "\\2191"; color: var(--accent); }
th[aria-sort=descending] button::after { content: "\\2193"; color: var(--accent); }
.answer { font-size: 1.1rem; }
.furthest { display: flex; flex-wrap: wrap; gap: .5rem 2rem; }
.furthest figure { max-width: 27rem; }
.furthest div { display: flex; gap: .25rem; }
.furthest span { display: flex; flex-direction: column; flex: 1; min-width: 0; font-size: .8rem; }
.furthest img { width: 100%; image-rendering: auto; }
.furthest figcaption { font-weight: 400; overflow-wrap: anywhere; }
.images { display: flex; gap: .25rem; }
.images img { max-width: 8rem; max-height: 6rem; }
@media print { nav { display: none; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => header.firstElementChild.addEventListener("click", () => {
    const down = header.getAttribute("aria-sort") === "ascending";
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value;
    const numeric = header.classList.contains("right");
    const compare = (a, b) => numeric ? a - b : a.localeCompare(b, undefined, { numeric: true });
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const left = value(a), right = value(b);
      if (left === undefined || right === undefined) return (left === undefined) - (right === undefined);
      return down ? compare(right, left) : compare(left, right);
    });
    table.tBodies[0].append(...rows);
  }));
}
"""


def html_report(
    report: ReportData, title: str, notes: Sequence[str] = (), thumbnails: Mapping[str, str] | None = None
) -> str:
    """The page.

    Args:
      report: results; the first model is the undefended baseline of those whose facts name none.
      title: heading.
      notes: sentences below it.
      thumbnails: image name -> data URI, shown in the table of the images that were moved furthest.
    """
    made = {table.key: table for table in tables(report)}
    sections = {"accuracy": ("Accuracy", _table(made.pop("accuracy")))} if "accuracy" in made else {}
    attacks = decisive(report)
    if attacks:
        sections["figures"] = ("Robustness against accuracy, gain against size", _figures(report, attacks))
    if report.per_image:
        sections["distributions"] = ("Scores before and after attack", _distributions(report))
    for key, table in made.items():
        sections[key] = (table.title, _table(table, _images(report, thumbnails or {})))
    contents = "".join(f'<a href="#{key}">{escape(heading)}</a>' for key, (heading, _) in sections.items())
    sentences = worth(report)
    body = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p><strong>{escape(note)}</strong></p>" for note in label_notes(report.models, report.run)),
        *(f'<p class="answer">{escape(sentence)}</p>' for sentence in recommendation(report)),
        _table(answer_table(report), first=True),
        _furthest(report),
        f"<nav>{contents}</nav>",
        f'<p class="note">{escape(_facts(report))}</p>',
        *(f"<p>{escape(note)}</p>" for note in notes),
        _verdicts(sentences) if sentences else "",
        *(f'<section id="{k}"><h2>{escape(heading)}</h2>{inner}</section>' for k, (heading, inner) in sections.items()),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + f"\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _furthest(report: ReportData) -> str:
    """Of each model the photo that was moved furthest: before, after, and what was added; where pictures are there."""
    pictures = {tuple(row[key] for key in WHICH): row for row in report.pictures}
    figures = []
    for row in worst_images(report.per_image, report.models, count=1):
        picture = pictures.get(tuple(row[key] for key in WHICH))
        if picture is None or "before" not in picture or "after" not in picture:
            continue
        parts = (
            (picture["before"], f"before: {row['clean']:.1f}"),
            (picture["after"], f"after: {row['attacked']:.1f}"),
            (picture["picture"], f"change, {picture['amplified']} x"),
        )
        images = "".join(
            f'<span><img alt="{escape(words)}" src="{escape(uri)}">{escape(words)}</span>' for uri, words in parts
        )
        under = attack_text(row["attack"], row["eps"])
        caption = f"{row['model']} under {under}: the middle of {row['image']}"
        figures.append(f"<figure><div>{images}</div><figcaption>{escape(caption)}</figcaption></figure>")
    return f'<div class="furthest">{"".join(figures)}</div>' if figures else ""


def _verdicts(sentences: Sequence[str]) -> str:
    """A folded list."""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<details><summary>What the defences are worth</summary><ul>{items}</ul></details>"


def _facts(report: ReportData) -> str:
    baselines = ", ".join(dict.fromkeys(undefended(report.models).values()))
    count = max((row.get("n") or 0 for row in report.rows), default=0)
    attacks = ", ".join(dict.fromkeys(row["attack"] for row in report.rows)) or "none"
    models = ", ".join(report.models)
    made = ", ".join(f"{name} {value}" for name, value in report.run.items())
    run = f" Run: {made}." if made else ""
    photos = f" {count} photos attacked." if count else ""
    return f"Models: {models}. Undefended: {baselines}. Attacks: {attacks}.{photos}{run}"


def _figures(report: ReportData, attacks: Sequence[str]) -> str:
    made = []
    for i, attack in enumerate(attacks):
        figure = tradeoff(report.rows, report.models, [attack])
        name = escape(attack)
        drawn = svg(figure, f"tradeoff-{i}", f"{name}: gain against accuracy and against attack size, as tabled below")
        made.append(f"<figure>{drawn}</figure>")
    note = (
        "Lower right is better on the left; the dashed line is the Pareto front: no model is at least as accurate and "
        "moved less. On the right nearer to 0 is better. Gains are in ranges of the undefended models' clean scores."
    )
    return f'<p class="note">{note}</p>' + "".join(made)


def _distributions(report: ReportData) -> str:
    made = []
    for i, attack in enumerate(dict.fromkeys(row["attack"] for row in report.per_image)):
        figure = score_distributions(report.per_image, list(report.models), attack)
        name = escape(attack)
        drawn = svg(figure, f"scores-{i}", f"{name}: box plots of clean and attacked scores of every model")
        made.append(f"<figure><figcaption>{name}</figcaption>{drawn}</figure>")
    note = "Boxes: quartiles and median; whiskers: 1.5 times the box; points: photos beyond."
    return f'<p class="note">{note}</p>' + "".join(made)


def _images(report: ReportData, thumbnails: Mapping[str, str]) -> Callable[[tuple[Any, ...]], str]:
    """A row of the worst images -> its photo and what the attack added to it, as far as they are there."""
    added = {tuple(row[key] for key in WHICH): row for row in report.pictures}

    def images(row: tuple[Any, ...]) -> str:
        photo, change = thumbnails.get(row[0]), added.get(row[: len(WHICH)])
        pair = f'<img alt="" src="{escape(photo)}">' if photo else ""
        if change is not None:
            alt = f"change of its middle, {change['amplified']} times larger"
            pair += f'<img alt="{escape(alt)}" title="{escape(alt)}" src="{escape(change["picture"])}">'
        return f'<span class="images">{pair}</span>' if pair else ""

    return images


def _table(table: Table, images: Callable[[tuple[Any, ...]], str] = lambda row: "", first: bool = False) -> str:
    """The table, with images in front of the text of a column "image". The first of a page has its note below, and on a
    narrow screen a block a row in place of a line that would not fit."""
    note = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escape(table.note))
    heads = "".join(
        f'<th scope="col"{_right(column.right)}><button type="button">{escape(column.title)}</button></th>'
        for column in table.columns
    )
    lines = []
    for values, texts in zip(table.rows, table.texts(), strict=True):
        cells = [
            f"<td{_right(column.right) or _long(text)}{_value(value, text)}{_titled(column.title) if first else ''}>"
            f"{images(values) if column.title == 'image' else ''}{escape(text)}</td>"
            for column, value, text in zip(table.columns, values, texts, strict=True)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    rows = "\n".join(lines)
    text = f'<p class="note">{note}</p>' if note else ""
    kind = "first" if first else "wide"
    drawn = f'<div class="{kind}"><table><thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table></div>'
    return drawn + text if first else text + drawn


def _titled(title: str) -> str:
    return f' data-title="{escape(title)}"'


def _value(value: Any, text: str) -> str:
    """What the column sorts by; nothing for an unknown value, which stays last."""
    return "" if text == "-" else f' data-value="{escape(str(value))}"'


def _long(text: str) -> str:
    return ' class="long"' if len(text) > 48 else ""


def _right(right: bool) -> str:
    return ' class="right"' if right else ""
