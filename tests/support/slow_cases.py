"""Cases of a parametrised test of which a few stand for all in the default run; the others are slow tests."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest


def slow_but(cases: Iterable[Any], *quick: str) -> list[Any]:
    """What pytest.mark.parametrize takes for these cases; those not among `quick` are slow ones.

    Args:
      cases: values, which are their own names, or a table of values by name.
      quick: names.
    """
    table = cases if isinstance(cases, Mapping) else {case: case for case in cases}
    missing = set(quick) - set(table)
    assert not missing, f"no cases: {missing}"
    return [
        pytest.param(case, id=name, marks=() if name in quick else pytest.mark.slow) for name, case in table.items()
    ]
