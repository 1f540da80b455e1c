"""Reads command lines alike in all commands: numbers and sizes of attacks, columns of label tables, wrong usage.
tyro makes options of the fields of a dataclass; what it does not know about our numbers is told here."""

import contextlib
import io
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from robust_iqa_jax.commands.progress import err
from robust_iqa_jax.labels import COLUMNS
from robust_iqa_jax.wording import ADDRESS, eps_text, parse_eps

T = TypeVar("T")


def parsed(
    kind: type[T], args: Sequence[str], prog: str, description: str | None, *, addresses: bool = False, **more: Any
) -> T:
    """An instance of the dataclass from a command line; a wrong one ends the process with status 2, --help with 0.

    Args:
      kind: the dataclass.
      args: the command line behind `prog`.
      prog, description, more: as tyro.cli takes them.
      addresses: whether the command answers https://... itself; else it ends the process with status 2.
    """
    for argument in () if addresses else args:
        if ADDRESS.match(argument) and not argument.startswith("hf://"):
            err.print(f"{prog}: {argument}: is an address, and nothing is downloaded; give a path", markup=False)
            raise SystemExit(2)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=args, prog=prog, description=description, registry=NUMBERS, **more)
    except SystemExit as end:
        if end.code:
            err.print(f"{prog}: {one_line(said.getvalue())}; {prog} --help shows the options", markup=False)
        raise


def one_line(box: str) -> str:
    """What tyro says of a wrong command line, in a box of many lines, in one: the culprit and the cure."""
    lines = [" ".join(re.sub(r"[─-╿]", " ", line).split()) for line in box.splitlines()]
    lines = [line for line in lines if line.strip("-")][1:]  # rules, and the box's title
    end = next((i for i, line in enumerate(lines) if line.startswith("For full helptext")), len(lines))
    said, helptext = lines[:end], "Argument helptext:"
    if helptext in said:
        at = said.index(helptext)
        option, _, kind = said[at + 1].partition(" ")
        value = re.search(r"\[\'(.*?)\'\]|\'(.*?)\'", " ".join(said[:at]))
        wanted = next((text for word, text in KINDS.items() if word in kind), kind)
        return f"{option} {(value[1] or value[2]) if value else ''}: give {wanted}"
    return " ".join(said)


KINDS = {
    "NUMBER": "a number or a fraction such as 4/255",
    "FLOAT": "a number",
    "{all}": "a whole number or all",
    "INT": "a whole number",
}
"""tyro's names of kinds of values -> ours."""


NUMBERS = tyro.constructors.ConstructorRegistry()
"""Numbers may be fractions, such as 4/255, and n/255 is shown so."""


@NUMBERS.primitive_rule
def _number(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[float] | None:
    if info.type is not float:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="NUMBER",
        instance_from_str=lambda texts: parse_number(texts[0]),
        is_instance=lambda value: isinstance(value, float) or ("~" if isinstance(value, int) else False),
        str_from_instance=lambda value: [number_text(value)],
    )


def parse_number(text: str) -> float:
    """A number or a fraction of two.

    Raises:
      ValueError: neither.
    """
    try:
        return parse_eps(text)
    except ValueError as error:
        raise ValueError(f"{text!r}: give a number or a fraction such as 4/255") from error


def number_text(value: float) -> str:
    """As people write it: a whole number of grey levels whose decimals would be long as "4/255", others in decimals."""
    plain, levels = f"{value:g}", eps_text(value) if 0 < value < 1 else ""
    return levels if "/" in levels and float(plain) != value else repr(value)


def checked_eps(sizes: Iterable[float], option: str = "--eps") -> None:
    """Raise ValueError for a size of no use; one above 1 was meant as n/255. (The attacks warn of unusual ones.)"""
    from robust_iqa_jax.checks import check_eps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for size in sizes:
            check_eps(int(size) if float(size).is_integer() else size, who=option)


def columns(args: Any) -> dict[str, str]:
    """The options of `labels.COLUMNS` that were given, as open_photos takes them."""
    return {name: value for name in COLUMNS if (value := getattr(args, name)) is not None}


def existing(paths: Iterable[Path]) -> None:
    """Raise ImageError where not one of the paths leads to an image; single ones are reported when it is their turn."""
    from robust_iqa_jax.data.images import ImageError, check_path

    first: ImageError | None = None
    for path in paths:
        try:
            check_path(path)
        except ImageError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first
