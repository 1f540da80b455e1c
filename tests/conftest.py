"""Shared test settings: where real photos lie, if they do."""

import os
from pathlib import Path

import jax
import pytest

SHARED = Path(os.environ.get("RIQA_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real photos and results; the test skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data at {SHARED}; set RIQA_SHARED_DATA")
    return SHARED


@pytest.fixture
def hardly_optimised():
    """Compiles in a fraction of the time; for small programs that run a few times."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first: it runs in one worker, and the other should not wait for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_training.py")
