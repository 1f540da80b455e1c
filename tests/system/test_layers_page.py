"""The examples of docs/layers.md, each run alone as it is written, and that every public layer has one."""

import re

import pytest
from places import ROOT

from robust_iqa_jax import layers

PAGE = (ROOT / "docs" / "layers.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.usefixtures("hardly_optimised")


HEAVY = (0, 1, 5, 6)
"""Examples that compile for five seconds and more."""
NUMBERS = [pytest.param(i, marks=pytest.mark.slow) if i in HEAVY else i for i in range(len(EXAMPLES))]


@pytest.mark.parametrize("number", NUMBERS)
def test_an_example_runs_as_it_is_written(number):
    assert len(EXAMPLES[number].splitlines()) <= 12
    exec(compile(EXAMPLES[number], f"docs/layers.md, example {number}", "exec"), {})


def test_every_public_name_is_on_the_page():
    assert [name for name in layers.__all__ if name not in PAGE and name != "CONVOLUTIONS"] == []
    assert all(f"| {name} |" in PAGE for name in layers.CONVOLUTIONS), "a row of the table each"
