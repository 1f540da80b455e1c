"""The benchmark of FS-IQA's assumption: the singular value against the whole Jacobian's, and small changes that reach
it."""

import jax
import jax.numpy as jnp
import numpy as np
import photo_tables
import pytest
from quick_models import random_variables

from robust_iqa_jax.benchmarks import feature_bound
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import build
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import ModelSpec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("hardly_optimised", "tiny_photos")]
SIZE = (8, 12)


@pytest.fixture
def scorer(tiny_photos):
    spec = ModelSpec("linearity", "tiny", ("first", "second"), SIZE)
    return Scorer(random_variables(build(spec), (1, *SIZE, 3)), Calibration.identity(), spec)


def test_the_singular_value_is_the_jacobians_and_small_changes_reach_it(scorer):
    image = jnp.asarray(np.random.default_rng(0).uniform(0.3, 0.7, (1, *SIZE, 3)), jnp.float32)
    jacobian = jax.jacobian(lambda x: feature_bound.features(scorer, x)[0])(image).reshape(-1, 3 * SIZE[0] * SIZE[1])
    exact = np.linalg.svd(np.asarray(jacobian, np.float64), compute_uv=False)[0]
    value, start = feature_bound.largest_singular_value(scorer, image, 50)
    assert float(value) == pytest.approx(exact, rel=1e-3)
    assert float(jnp.linalg.norm(start)) == pytest.approx(1, rel=1e-5)
    moved = feature_bound.furthest(scorer, image, start, jnp.float32(1e-2), 5)
    assert float(moved) == pytest.approx(1e-2 * exact, rel=0.05)
    assert float(feature_bound.furthest(scorer, image, start, jnp.float32(0.5), 5)) > float(moved)


def test_from_photos_to_the_table(scorer, tmp_path):
    checkpoint.save(tmp_path / "run", scorer, {"config": {}})
    photos = str(photo_tables.write_photo_table(tmp_path / "photos", count=6))
    results = tmp_path / "results"
    feature_bound.main(feature_bound.Args((str(tmp_path / "run"),), photos, "test", 2, (0.1, 0.2), 3, 2, results))
    (table,) = results.glob("*_feature_bound.md")
    rows = [line.split("|") for line in table.read_text().splitlines() if line.startswith("| run")]
    assert [row[2].strip() for row in rows] == ["0.1", "0.2"]
    assert all(row[-2].strip().endswith("of 2") for row in rows)
