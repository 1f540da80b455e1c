"""How sizes of attacks and wrong names are read and printed, the same everywhere.
Apart from checks.py, which offers these too, so that a mistyped command is answered without waiting for JAX."""

import difflib
import re
from collections.abc import Iterable
from fractions import Fraction

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
"""How an address begins that is no path."""


def parse_eps(text: str) -> float:
    """ "4/255", "0.0157" or "1e-2" as a number.

    Raises:
      ValueError: neither a number nor a fraction.
    """
    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"eps {text!r}: give a number or a fraction such as 4/255") from error


def attack_text(attack: str, eps: float | None) -> str:
    """An attack with its size, where it has one: "pgd-8 at 4/255"."""
    return attack if eps is None else f"{attack} at {eps_text(eps)}"


def eps_text(eps: float) -> str:
    """An eps as people write it: "4/255" where it is n/255 for a whole n, else a short decimal."""
    levels = eps * 255
    return f"{round(levels)}/255" if round(levels) and abs(levels - round(levels)) < 1e-4 else f"{eps:.4g}"


def hyphenated(attack: str) -> str:
    """The name of an attack as it is spelt: "mi-fgsm-10" for "mifgsm-10", as older reports have it; others as given."""
    return re.sub(r"^(a?mi|i)fgsm(?![^-])", r"\1-fgsm", attack)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist: what is meant if one is close, and all that there are.

    Args:
      what: the kind of thing, such as "attack".
      name: as given.
      known: all names.
    """
    known = [str(each) for each in known]
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return (
        f"unknown {what} {name!r}; " + (f"did you mean {near[0]}? " if near else "") + f"there are {', '.join(known)}"
    )
