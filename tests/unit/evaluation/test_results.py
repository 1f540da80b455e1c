"""Finished parts of an evaluation: what names them, and that every bit of a score survives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_iqa_jax import attacks
from robust_iqa_jax.evaluation.results import ResultFolder, cached, digest
from robust_iqa_jax.metrics.accuracy import plcc, srocc


def test_a_part_is_found_by_all_that_it_depends_on_and_keeps_every_bit(tmp_path):
    cells, scores = ResultFolder(tmp_path), (np.random.default_rng(0).normal(size=9) * 1e3).tolist()
    attack, images = attacks.pgd(4 / 255, 2), jnp.ones((1, 2, 2, 3))
    assert not cells.has(attack, images)
    cells.write("base, pgd-2", scores, attack, images)
    assert cells.read(attack, images) == scores
    assert ResultFolder(tmp_path).read(attacks.pgd(4 / 255, 2), np.ones((1, 2, 2, 3), "f4")) == scores
    assert not cells.has(attack.replace(eps=5 / 255), images)
    assert not cells.has(attack.replace(direction="lower"), images)
    assert not cells.has(attack, images.at[0, 0, 0, 0].set(0.5))
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


def test_another_version_has_parts_of_its_own(tmp_path, monkeypatch):
    cells = ResultFolder(tmp_path)
    cells.write("base", [1.0], "photos")
    monkeypatch.setattr("robust_iqa_jax.evaluation.results.version", lambda name: "99")
    assert not cells.has("photos")


def test_a_part_is_computed_once(tmp_path):
    values = iter(([0.5], {"a": 1}))
    for folder in (ResultFolder(tmp_path), ResultFolder(tmp_path)):
        assert cached(folder, "a part", lambda: next(values), "photos") == [0.5]
    assert cached(None, "a part", lambda: next(values), "photos") == {"a": 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, 2), ((1, 2),)),
        ((1,), (1.0,)),
        (("ab", "c"), ("a", "bc")),
        ((jax.random.key(0),), (jax.random.key(1),)),
        (({"a": 1, "b": 2},), ({"a": 2, "b": 1},)),
        ((np.zeros((2, 3)),), (np.zeros((3, 2)),)),
    ],
)
def test_what_differs_has_another_name(one, other):
    assert digest(*one) != digest(*other)
    assert digest(*one) == digest(*one)


def test_a_partial_of_a_modules_function_is_named_by_its_code_and_arguments():
    of = jax.tree_util.Partial
    assert digest(attacks.perceptual()) == digest(attacks.perceptual())
    assert digest(of(srocc, np.ones(2))) == digest(of(srocc, np.ones(2)))
    others = [of(srocc, np.zeros(2)), of(plcc, np.ones(2)), of(srocc, a=np.ones(2))]
    assert len({digest(of(srocc, np.ones(2))), *map(digest, others)}) == 4
    with pytest.raises(ValueError, match="cannot keep results of"):
        digest(of(lambda x: x))


def test_a_function_has_no_name():
    with pytest.raises(ValueError, match="cannot keep results of"):
        digest(lambda x: x)
