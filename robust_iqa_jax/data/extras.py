"""Packages that only few files need, and how a reader asks for them.
Source: pyproject.toml, optional dependencies: "archives" for label tables of other formats, "tfds" for records."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robust_iqa_jax.data.photo_files import LabelTableError


@contextmanager
def needs_extra(file: Path, package: str, extra: str = "archives") -> Iterator[None]:
    """Around the import of a package of the extra: where it is not installed, one line says how to read the file.

    Raises:
      LabelTableError: the import failed.
    """
    try:
        yield
    except ImportError as error:
        raise LabelTableError(
            f"{file}: needs the package {package}; install it with pip install 'robust_iqa_jax[{extra}]'"
        ) from error
