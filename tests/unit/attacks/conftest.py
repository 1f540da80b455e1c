"""Programs of this folder run once or twice: they are hardly optimised, which compiles in half the time."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def _quick(hardly_optimised):
    return hardly_optimised
