"""Options of the command line that belong to one attack: `--steps 20 --direction lower --keep-best` as its settings.
Which ones there are, and of which kind, the registry's entry says."""

import dataclasses
import difflib
from fractions import Fraction
from typing import Any, TypeVar

from robust_iqa_jax.attacks import registry
from robust_iqa_jax.commands.arguments import checked_eps, number_text, parsed

T = TypeVar("T")


def parsed_attack(kind: type[T], args: list[str], prog: str, description: str) -> tuple[T, dict[str, Any]]:
    """The command's own arguments, and the settings of the attack that is called for in them.

    One parser reads both: the fields of `kind` and one field for each setting of the attack.

    Args:
      kind: dataclass of the command's own arguments, with a field `attack`.
      args: a command line.
      prog, description: as `parsed` takes them.

    Raises:
      ValueError: an unknown attack, an option that neither it nor the command has, an eps of no use.
    """
    own = dataclasses.fields(kind)  # pyright: ignore[reportArgumentType]
    name = _attack_name(args, next(str(field.default) for field in own if field.name == "attack"))
    defaults = registry.entry(name).settings
    switches = {f"--no-{option(field)[2:]}" for field, value in defaults.items() if isinstance(value, bool)}
    options = {option(field.name) for field in own} | {"--help", "--no-to-8bit"}
    _check_options(name, args, [*map(option, defaults), *options, *switches])
    fields = [(setting, _type_of(value), dataclasses.field(default=value)) for setting, value in defaults.items()]
    both = dataclasses.make_dataclass(kind.__name__, fields, bases=(kind,), frozen=True)
    both.__doc__ = kind.__doc__
    given: Any = parsed(both, args, prog, description)
    settings = {setting: _value(getattr(given, setting)) for setting in defaults}
    if settings.get("eps") is not None and settings.get("norm", "linf") == "linf":
        checked_eps([settings["eps"]], "attack: --eps")
    return given, settings


def _attack_name(args: list[str], default: str) -> str:
    """What `--attack NAME` or `--attack=NAME` says last; "" where it says nothing."""
    name = default
    for argument, following in zip(args, [*args[1:], ""], strict=False):
        if argument == "--attack":
            name = following
        elif argument.startswith("--attack="):
            name = argument.partition("=")[2]
    return name


def _check_options(name: str, args: list[str], options: list[str]) -> None:
    """Raise ValueError for an option that is none of these."""
    for argument in args:
        given = argument.split("=")[0]
        if given.startswith("--") and given.replace("_", "-") not in options:
            near = difflib.get_close_matches(given, options, n=1, cutoff=0.75)
            meant = f" (did you mean {near[0]}?)" if near else ""
            has = ", ".join(map(option, registry.entry(name).settings)) or "none"
            raise ValueError(f"attack: {name} has no {given}{meant}; its settings: {has}")


def _type_of(default: Any) -> Any:
    return str | None if default is None else type(default)


def _value(given: Any) -> Any:
    """A text as the number that it is, where it is one: settings whose default is None may be either."""
    if not isinstance(given, str):
        return given
    try:
        number = Fraction(given)
    except (ValueError, ZeroDivisionError, OverflowError):
        return given
    return int(number) if given.strip().isdigit() else float(number)


def settings_table() -> str:
    """One line an attack: name, what it is, its options. A dash first, or tyro joins the lines of a description."""
    lines = []
    for name, entry in registry.ATTACKS.items():
        settings = " ".join(
            option(setting) + (f" ({number_text(default)})" if setting == "eps" and default is not None else "")
            for setting, default in entry.settings.items()
        )
        lines.append(f"- {name}: {entry.description}. {settings or 'No options.'}")
    return "\n".join(lines)


def option(setting: str) -> str:
    """ "step_size" as typed: "--step-size"."""
    return "--" + setting.replace("_", "-")
