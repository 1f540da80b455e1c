"""Loads a configuration: the path of a Python file, or the name of one that ships with the package.
The file defines get_config() and returns a frozen dataclass."""

import importlib
import importlib.util
from pathlib import Path
from typing import TypeVar

import robust_iqa_jax.configs as configs

T = TypeVar("T")


def load_config(source: str, kind: type[T]) -> T:
    """What `get_config()` of a configuration returns.

    Args:
      source: path ending in .py, or the bare name of a shipped configuration ("clive_lite0").
      kind: dataclass that it must be.

    Raises:
      ValueError: no such file, or it gives something else.
    """
    if source.endswith(".py"):
        if not Path(source).is_file():
            raise ValueError(f"{source}: no such configuration file")
        spec = importlib.util.spec_from_file_location("riqa_config", source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise ValueError(f"{source}: {type(error).__name__}: {error}") from error
    else:
        shipped = sorted(p.stem for p in Path(next(iter(configs.__path__))).glob("*.py") if p.stem != "__init__")
        if source not in shipped:
            raise ValueError(f"{source}: neither a .py file nor a shipped configuration ({', '.join(shipped)})")
        module = importlib.import_module(f"{configs.__name__}.{source}")
    if not hasattr(module, "get_config"):
        raise ValueError(f"{source}: defines no get_config()")
    config = module.get_config()
    if not isinstance(config, kind):
        raise ValueError(f"{source}: gives a {type(config).__name__}, this command needs a {kind.__name__}")
    return config
