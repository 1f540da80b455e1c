"""Loads a configuration: the name of one that ships with the package, or the path of a Python file.
The file defines get_config() and returns a frozen dataclass."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TypeVar

import robust_iqa_jax.configs as configs
from robust_iqa_jax.wording import unknown

T = TypeVar("T")

TAKEN_BY = {"TrainConfig": "riqa train", "StudyConfig": "riqa study", "SuiteConfig": "riqa evaluate"}
"""Kind of configuration -> its command."""


def shipped() -> tuple[str, ...]:
    """Names of the configurations that ship with the package."""
    return tuple(sorted(p.stem for p in Path(next(iter(configs.__path__))).glob("*.py") if p.stem != "__init__"))


def load_config(source: str, kind: type[T]) -> T:
    """What `get_config()` of a configuration returns.

    Args:
      source: bare name of a shipped configuration ("clive_lite0"), or path ending in .py. A path that does not exist
        and has a shipped one's name, such as configs/clive_lite0.py outside a checkout, is that one.
      kind: dataclass that it must be.

    Raises:
      ValueError: no such file, or it gives something else.
    """
    name = source
    if source.endswith(".py") and not Path(source).is_file():
        name = Path(source).stem
        if name not in shipped():
            raise ValueError(f"{source}: no such configuration file; those that ship are {', '.join(shipped())}")
    if name.endswith(".py"):
        spec = importlib.util.spec_from_file_location("riqa_config", source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing of ours beside a user's file
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise ValueError(f"{source}: {type(error).__name__}: {error}") from error
        finally:
            sys.dont_write_bytecode = before
    else:
        if name not in shipped():
            raise ValueError(f"{unknown('configuration', name, shipped())}; or give the path of a .py file")
        module = importlib.import_module(f"{configs.__name__}.{name}")
    if not hasattr(module, "get_config"):
        raise ValueError(f"{source}: defines no get_config()")
    try:
        config = module.get_config()
    except Exception as error:
        raise ValueError(f"{source}: get_config(): {type(error).__name__}: {error}") from error
    if not isinstance(config, kind):
        command = TAKEN_BY.get(type(config).__name__)
        cure = f"; give it to `{command}`" if command else ""
        raise ValueError(f"{source}: gives a {type(config).__name__}, this command needs a {kind.__name__}{cure}")
    return config
