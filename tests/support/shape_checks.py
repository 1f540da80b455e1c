"""Shapes and types of annotations, checked as functions are called:
pytest --jaxtyping-packages=robust_iqa_jax,shape_checks.checked"""

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

BEARTYPE = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int where a float is asked for


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its arguments and its result checked; not the fields of dataclasses, which are pytrees, and
    whose leaves JAX replaces by what is no array."""
    return function if function.__qualname__.endswith("__init__") else BEARTYPE(function)
