"""Options of the command line that belong to one attack: `--steps 20 --direction lower --keep-best` as its settings.
Which ones there are, and of which kind, the registry's entry says."""

import argparse
import difflib
from collections.abc import Collection
from fractions import Fraction
from typing import Any

from robust_iqa_jax.attacks import registry
from robust_iqa_jax.commands.arguments import checked_eps, number_text


def split_settings(name: str, args: list[str], own: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """The attack's settings, and the arguments that are left.

    Args:
      name: of an attack in the registry.
      args: a command line.
      own: options of the command itself, such as "--out".

    Raises:
      ValueError: an unknown attack, an option that neither it nor the command has, a value of the wrong kind.
    """
    defaults = registry.entry(name).settings
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for setting, default in defaults.items():
        more: dict[str, Any] = {"action": argparse.BooleanOptionalAction} if isinstance(default, bool) else {}
        parser.add_argument(option(setting), dest=setting, default=argparse.SUPPRESS, **more)
    try:
        chosen, rest = parser.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise ValueError(f"attack: {error}") from error
    for argument in rest:
        if argument.startswith("--") and argument.split("=")[0] not in own:
            has = ", ".join(map(option, defaults)) or "none"
            near = difflib.get_close_matches(argument.split("=")[0], [*map(option, defaults), *own], n=1, cutoff=0.75)
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(f"attack: {name} has no {argument.split('=')[0]}{meant}; its settings: {has}")
    settings = {setting: _value(setting, value, defaults[setting]) for setting, value in vars(chosen).items()}
    if "eps" in settings and settings.get("norm", defaults.get("norm", "linf")) == "linf":
        checked_eps([settings["eps"]], "attack: --eps")
    return settings, rest


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


def _value(setting: str, text: Any, default: Any) -> Any:
    """The text as what the default is: a whole number, a number or fraction, a name; for None whatever it reads as."""
    if isinstance(default, (bool, str)):
        return text
    try:
        number = Fraction(text)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        if default is None:
            return text
        raise ValueError(f"attack: {option(setting)} {text}: give a number or a fraction such as 4/255") from error
    if isinstance(default, int) and number.denominator != 1:
        raise ValueError(f"attack: {option(setting)} {text}: give a whole number")
    return int(number) if isinstance(default, int) or text.strip().isdigit() else float(number)
