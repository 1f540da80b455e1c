"""Reads command lines alike in all commands: numbers and sizes of attacks, columns of label tables, wrong usage.
tyro makes options of the fields of a dataclass; what it does not know about our numbers is told here."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from robust_iqa_jax.wording import eps_text, parse_eps

T = TypeVar("T")


def parsed(kind: type[T], args: Sequence[str], prog: str, description: str | None, **more: Any) -> T:
    """An instance of the dataclass from a command line; a wrong one ends the process with status 2, --help with 0.

    Args:
      kind: the dataclass.
      args: the command line behind `prog`.
      prog, description, more: as tyro.cli takes them.
    """
    return tyro.cli(kind, args=args, prog=prog, description=description, registry=NUMBERS, **more)


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


TABLE = ("image_column", "score_column", "group_column", "image_dir")
"""Options of commands that read label tables; arguments of open_photos."""


def columns(args: Any) -> dict[str, str]:
    """The options of `TABLE` that were given, as open_photos takes them."""
    return {name: value for name in TABLE if (value := getattr(args, name)) is not None}


def existing(paths: Iterable[Path], what: str = "image") -> None:
    """Raise ValueError where not one of the paths is a file; single ones are reported when it is their turn."""
    paths = tuple(paths)
    if paths and not any(path.is_file() for path in paths):
        reason = "is a folder; give the files in it" if paths[0].is_dir() else f"no such {what}"
        raise ValueError(f"{paths[0]}: {reason}")
