"""The benchmark of certificates: its figures by hand, and both ways of certifying from photos to the table."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import photo_tables
import pytest
from quick_models import random_variables

from robust_iqa_jax.benchmarks import certified
from robust_iqa_jax.models import checkpoint, lipschitz
from robust_iqa_jax.models.registry import build
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import ModelSpec

PEOPLE = np.array([10.0, 20.0, 30.0, 40.0])


def test_a_row_by_hand():
    score = np.array([1.0, 2.0, 3.0, 5.0])
    low, high = score - 0.4, score + np.array([0.4, 0.4, 2.4, 0.4])
    reached = {"raise": score + np.array([0.1, 0.3, 0.5, 0.4]), "lower": score - np.array([0.0, 0.5, 0.1, 0.1])}
    row = certified.summary("m", "noise 0.1", "l2", 0.1, (score, low, high, reached), PEOPLE, 4.0, 0.5)
    assert row.srocc == row.best == pytest.approx(1)
    assert row.worst == pytest.approx(0.8), "only the last two can change places"
    assert row.width == pytest.approx((3 * 0.8 + 2.8) / 4 / 4)
    assert (row.raised, row.lowered) == (pytest.approx(1.3 / 4 / 4), pytest.approx(-0.7 / 4 / 4))
    assert row.closest == pytest.approx(1.25)
    assert row.outside == 1


def saved(folder, spec):
    variables = random_variables(build(spec), (1, *spec.input_size, 3))
    calibration = dataclasses.replace(Calibration.identity(), slope=jnp.float32(10))
    variables = {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
    checkpoint.save(folder, Scorer(variables, calibration, spec), {"config": {}})
    return str(folder)


@pytest.mark.slow
@pytest.mark.usefixtures("hardly_optimised", "tiny_photos")
def test_both_ways_from_photos_to_the_table_and_again_from_what_is_finished(tmp_path, monkeypatch):
    monkeypatch.setattr(lipschitz, "WIDTHS", (50, 20))
    noisy = saved(tmp_path / "noisy", ModelSpec("linearity", "tiny", ("first", "second"), (32, 32)))
    bounded = saved(tmp_path / "bounded", ModelSpec("lipschitz", "none", (), (32, 32)))
    args = certified.Args(
        (noisy, bounded),
        str(photo_tables.write_photo_table(tmp_path / "photos")),
        "test",
        photos=6,
        sigma=(0.1,),
        ratios=(0.5, 1.0),
        radii=(0.5, 1.0),
        linf=(1 / 255,),
        samples=60,
        steps=2,
        draws=2,
        out=tmp_path / "cells",
        results=tmp_path / "results",
    )
    certified.main(args)
    (table,) = (tmp_path / "results").glob("*_certified.md")
    assert list((tmp_path / "results").glob("*_certified.png"))
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in table.read_text().splitlines()]
    rows = [row for row in rows if row and row[0] in ("noisy", "bounded")]
    assert [row[1:4] for row in rows] == [
        ["noise 0.1", "l2", "0.05"],
        ["noise 0.1", "l2", "0.1"],
        ["weights", "l2", "0.5"],
        ["weights", "l2", "1"],
        ["weights", "linf", "1/255"],
    ]
    widths = [float(row[7]) for row in rows]
    assert widths[0] <= widths[1]
    assert widths[3] == pytest.approx(2 * widths[2], abs=2e-3)
    assert [row[11] for row in rows] == ["", "0", "0", "0", "0"], "no attacked score leaves its interval"
    assert all(float(row[5]) <= float(row[4]) <= float(row[6]) for row in rows)
    monkeypatch.setattr(certified, "noisy_scores", lambda *a, **k: pytest.fail("scored again"))
    monkeypatch.setattr(certified, "run", lambda *a, **k: pytest.fail("attacked again"))
    before = table.read_text()
    certified.main(args)
    assert table.read_text() == before
