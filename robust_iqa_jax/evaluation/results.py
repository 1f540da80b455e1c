"""Finished parts of an evaluation on disk, such as the scores of one model under one attack on one set of images.
A part is named by the content of all that it depends on: weights, settings, images, the code of the attack and of the
model (`source`), versions of this library and of JAX. So a killed run goes on, and an edited attack is run again."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from robust_iqa_jax.evaluation.source import code_digest
from robust_iqa_jax.files import whole_file


class ResultFolder:
    """One JSON file a part, under `folder`; each appears whole or not at all."""

    def __init__(self, folder: Path | str) -> None:
        """Open or create."""
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)

    def has(self, *depends_on: Any) -> bool:
        """Whether the part that depends on exactly this is finished."""
        return self._path(depends_on).is_file()

    def read(self, *depends_on: Any) -> Any:
        """The part that depends on exactly this.

        Raises:
          OSError: it is not finished.
        """
        return json.loads(self._path(depends_on).read_text())["value"]

    def write(self, label: str, value: Any, *depends_on: Any) -> None:
        """Store a part.

        Args:
          label: for people who read the file.
          value: of JSON types; every bit of a float is kept.
          depends_on: what `read` is asked with.
        """
        with whole_file(self._path(depends_on)) as temporary:
            temporary.write_text(json.dumps({"label": label, **versions(), "value": value}))

    def _path(self, depends_on: tuple[Any, ...]) -> Path:
        return self._folder / f"{digest(versions(), *depends_on)}.json"


def cached(folder: ResultFolder | None, label: str, compute: Callable[[], Any], *depends_on: Any) -> Any:
    """A part: read where it is finished, else computed and stored; only computed without a folder.

    Args:
      folder: where parts lie.
      label, depends_on: as in `ResultFolder.write`.
      compute: () -> value of JSON types.
    """
    if folder is None:
        return compute()
    if not folder.has(*depends_on):
        folder.write(label, compute(), *depends_on)
    return folder.read(*depends_on)


def versions() -> dict[str, str]:
    """Of what scores depend on."""
    return {name: version(name) for name in ("robust_iqa_jax", "jax", "jaxlib")}


def digest(*values: Any) -> str:
    """Hexadecimal name of values: numbers, names, arrays, random keys, and dataclasses or pytrees of them.

    Settings of an attack are values: another eps is another name. So is the code of a dataclass, which an attack and a
    scorer are, and of a module's function with its arguments (partial). Other functions have no name and are refused.

    Raises:
      ValueError: something whose content cannot be told, such as a function.
    """
    result = hashlib.sha256()
    for value in values:
        _add(result, value)
    return result.hexdigest()[:24]


def _add(result: Any, value: Any) -> None:
    if isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        array = np.ascontiguousarray(value)
        result.update(f"{array.dtype}{array.shape}".encode())
        result.update(array.tobytes())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        result.update(f"{type(value).__name__} {code_digest(type(value).__module__)}".encode())
        for field in dataclasses.fields(value):
            result.update(field.name.encode())
            _add(result, getattr(value, field.name))
    elif isinstance(value, dict):
        for name in sorted(value, key=str):
            result.update(str(name).encode())
            _add(result, value[name])
    elif isinstance(value, (list, tuple)):
        result.update(f"{len(value)} parts".encode())
        for part in value:
            _add(result, part)
    elif isinstance(value, functools.partial) and "<locals>" not in getattr(value.func, "__qualname__", "<locals>"):
        function = value.func
        result.update(f"{function.__qualname__} {code_digest(function.__module__)}".encode())
        _add(result, value.args)
        _add(result, value.keywords)
    elif value is None or isinstance(value, (str, int, float, bool)):
        result.update(f"{type(value).__name__} {value!r};".encode())
    else:
        raise ValueError(f"evaluate: cannot keep results of {value!r} on disk; give a Scorer, or no folder for them")
