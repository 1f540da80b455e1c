"""A Scorer in JAX's and Python's own hands: transformed, copied, given other weights, prepared, shown, misused."""

import copy
import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_backbone
from quick_models import quick_jit, random_variables
from small_report import small_report

from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import build, init
from robust_iqa_jax.models.scorer import Calibration, PreparedScorer, Scorer
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec

SPEC = ModelSpec(
    backbone="tiny", taps=("first", "second"), input_size=(16, 16), block=BlockSpec(at="first", mid_channels=4)
)

pytestmark = pytest.mark.usefixtures("hardly_optimised")


@pytest.fixture(scope="module")
def scorer():
    with tiny_backbone.registered():
        calibration = Calibration(*map(jnp.float32, (20, 50, 12.5, 80)))
        yield Scorer(random_variables(build(SPEC), (1, 16, 16, 3)), calibration, SPEC)


@pytest.fixture(scope="module")
def images():
    return jnp.asarray(np.random.default_rng(0).uniform(0, 1, (2, 16, 16, 3)), jnp.float32)


@pytest.fixture(scope="module")
def expected(scorer, images):
    return np.asarray(scorer(images))


def other_weights(scorer, factor=1.3):
    """The scorer with another block, and all else as it was."""
    params = scorer.variables["params"]
    block = jax.tree.map(lambda leaf: leaf * factor + 0.02, params["block"])
    return dataclasses.replace(scorer, variables={**scorer.variables, "params": {**params, "block": block}})


WAYS = {
    "jit of it": lambda s, x: jax.jit(s)(x),
    "jit with it": lambda s, x: jax.jit(lambda s, x: s(x))(s, x),
    "jit around it": lambda s, x: jax.jit(lambda: s(x))(),
    "checkpoint": lambda s, x: jax.checkpoint(s)(x),
    "vmap over images": lambda s, x: jax.vmap(lambda image: s(image[None])[0])(x),
    "vmap over scorers": lambda s, x: jax.vmap(lambda s: s(x))(jax.tree.map(lambda a: jnp.stack([a, a]), s))[1],
    "tree": lambda s, x: jax.tree.map(lambda leaf: leaf + 0, s)(x),
    "value and gradient": lambda s, x: jax.value_and_grad(lambda x: s(x).sum())(x)[0] * jnp.full(2, 0.5),
    "forward mode": lambda s, x: jax.jvp(s, (x,), (x,))[0],
    "pickle": lambda s, x: pickle.loads(pickle.dumps(s))(x),
    "copy": lambda s, x: copy.copy(s)(x),
    "deep copy": lambda s, x: copy.deepcopy(s)(x),
    "dictionary": lambda s, x: {s: s(x)}[s],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prepared", [False, True])
def test_scores_are_the_same_in_the_hands_of(way, prepared, scorer, images, expected):
    found = WAYS[way](scorer.prepare() if prepared else scorer, images)
    wanted = np.full(2, expected.mean()) if way == "value and gradient" else expected
    np.testing.assert_allclose(found, wanted, rtol=2e-5)


@pytest.mark.parametrize("prepared", [False, True])
def test_shapes_follow_without_computing(prepared, scorer, images):
    one = scorer.prepare() if prepared else scorer
    for shape in (jax.eval_shape(one, images), jax.eval_shape(lambda s, x: s(x), one, images)):
        assert (shape.shape, shape.dtype) == ((2,), jnp.float32)


def test_objects_with_arrays_are_equal_to_themselves_alone(scorer):
    for thing in (scorer, scorer.prepare(), scorer.calibration, small_report()):
        twin = copy.deepcopy(thing)
        assert thing == thing
        assert thing != twin
        assert hash(thing) == hash(thing)
        assert {thing: 1, twin: 2}[thing] == 1
        assert type(pickle.loads(pickle.dumps(thing))) is type(thing)


def test_a_cell_shows_one_line(scorer, images):
    count = sum(leaf.size for leaf in jax.tree.leaves(scorer.variables["params"]))
    assert repr(scorer) == (
        f"Scorer(linearity over tiny, block at first, input 16x16, mos 12.5 to 80, {count:,} parameters)"
    )
    assert repr(scorer.prepare()) == "Prepared" + repr(scorer)
    assert repr(small_report()).startswith("Report(base, robust, ")
    shown = []
    jax.jit(lambda s, x: shown.append(repr(s)) or s(x))(scorer, images)
    shown += [repr(jax.eval_shape(lambda s: s, scorer)), repr(jax.tree.map(lambda leaf: None, scorer))]
    for text in (*shown, repr(scorer), repr(small_report())):
        assert "\n" not in text
        assert len(text) < 200


def test_a_block_as_its_authors_have_it_has_nothing_to_prepare(scorer, images):
    authors = dataclasses.replace(SPEC.block, compat="authors", norm="spectrum")
    theirs = dataclasses.replace(scorer, spec=dataclasses.replace(SPEC, block=authors))
    assert theirs.prepare() is theirs
    assert np.abs(theirs(images) - scorer(images)).max() > 1e-3  # the norm, and a column of odd maps


def test_other_weights_are_scored_by_themselves(scorer, images, tmp_path):
    changed = other_weights(scorer)
    checkpoint.save(tmp_path / "changed", changed)
    checkpoint.save(tmp_path / "first", scorer)
    right = checkpoint.load(tmp_path / "changed")(images)
    loaded = checkpoint.load(tmp_path / "first")
    put_in = dataclasses.replace(loaded, variables={**loaded.variables, "params": changed.variables["params"]})
    assert float(jnp.abs(right - loaded(images)).min()) > 1e-3
    for one in (put_in, put_in.prepare(), jax.tree.map(lambda leaf: leaf, put_in)):
        np.testing.assert_allclose(one(images), right, rtol=1e-5)


def test_the_average_of_loaded_scorers_is_the_scorer_of_averaged_weights(scorer, images, tmp_path):
    checkpoint.save(tmp_path, scorer)
    loaded, changed = checkpoint.load(tmp_path), other_weights(scorer, 1.6)
    averaged = jax.tree.map(lambda a, b: (a + b) / 2, loaded, changed)
    block = jax.tree.map(
        lambda a, b: (a + b) / 2, scorer.variables["params"]["block"], changed.variables["params"]["block"]
    )
    params = {**scorer.variables["params"], "block": block}
    by_hand = Scorer({**scorer.variables, "params": params}, scorer.calibration, SPEC)
    np.testing.assert_allclose(averaged(images), by_hand(images), rtol=1e-5)


def test_gradient_of_a_loaded_scorer_in_its_block_is_that_of_a_difference(scorer, images, tmp_path):
    checkpoint.save(tmp_path, scorer)
    gradient = jax.grad(lambda s: s(images).sum())(checkpoint.load(tmp_path)).variables["params"]["block"]

    def total(step):
        params = scorer.variables["params"]
        block = jax.tree.map(lambda leaf, g: leaf + step * g, params["block"], gradient)
        variables = {**scorer.variables, "params": {**params, "block": block}}
        return float(dataclasses.replace(scorer, variables=variables)(images).sum())

    square = sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(gradient))
    step = 3e-3 / square**0.5
    assert (total(step) - total(-step)) / (2 * step) == pytest.approx(square, rel=2e-2)
    assert all(float(jnp.abs(leaf).max()) > 0 for leaf in jax.tree.leaves(gradient["cayley"]))


def test_a_prepared_scorer_has_no_weights_that_it_could_disagree_with(scorer, images):
    prepared = scorer.prepare()
    assert isinstance(prepared, PreparedScorer)
    assert prepared.prepare() is prepared
    assert "cayley" not in prepared.fixed["params"]["block"]
    with pytest.raises(AttributeError, match="no weights to read, train, average or save"):
        _ = prepared.variables
    with pytest.raises(TypeError, match="variables"):
        dataclasses.replace(prepared, variables=scorer.variables)
    with pytest.raises(ValueError, match="derivatives in a prepared operator asked for"):
        jax.grad(lambda s: s(images).sum())(prepared)
    in_images = [jax.grad(lambda x, s=s: s(x).sum())(images) for s in (scorer, prepared)]
    np.testing.assert_allclose(*in_images, rtol=1e-3, atol=1e-5)
    rescaled = dataclasses.replace(prepared, calibration=Calibration.identity())
    np.testing.assert_allclose(20 * rescaled(images) + 50, scorer(images), rtol=1e-5)


def test_a_scorer_without_a_block_is_its_own_prepared_one(scorer):
    plain = dataclasses.replace(scorer, spec=dataclasses.replace(SPEC, block=None))
    assert plain.prepare() is plain


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: x * 255, r"scorer: pixels in \[0, 1\] expected.*divide 8-bit values by 255"),
        (lambda x: (x * 255).astype(jnp.uint8), "scorer: float images"),
        (lambda x: x - 0.5, r"scorer: pixels in \[0, 1\] expected"),
        (lambda x: x.at[0, 0, 0, 0].set(jnp.nan), "scorer: images hold NaN"),
        (lambda x: x[:0], "scorer: at least one image"),
        (lambda x: x[:, :0], "scorer: at least one image"),
        (lambda x: x[0], r"for one image write image\[None\]"),
        (lambda x: x[..., :1], r"of shape \(height, width, 3\) expected, got \(2, 16, 16, 1\)"),
        (lambda x: "photo.png", "scorer: an array of images expected, got str"),
    ],
)
def test_images_that_mean_something_else_are_refused_in_one_line(wrong, message, scorer, images):
    for one in (scorer, scorer.prepare()):
        with pytest.raises(ValueError, match=message) as caught:
            one(wrong(images))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
@pytest.mark.parametrize("prepared", [False, True])
def test_images_of_any_float_type_are_scored_as_their_pixels_are(dtype, prepared, scorer, images):
    with jax.enable_x64(dtype == "float64"):
        given = images.astype(dtype)
        one = scorer.prepare() if prepared else scorer
        found, right = one(given), scorer(given.astype(jnp.float32))
        assert found.dtype == jnp.promote_types(dtype, jnp.float32)
        np.testing.assert_allclose(found, right, rtol=1e-4)


@pytest.mark.slow
def test_models_are_drawn_saved_loaded_and_prepared_in_float32_where_64_bits_are_on(images, tmp_path):
    with tiny_backbone.registered(), jax.enable_x64(True):
        drawn = quick_jit(init, static_argnums=0)(SPEC, jax.random.key(0))
        assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} == {jnp.dtype("float32")}
        checkpoint.save(tmp_path, Scorer(drawn, Calibration.identity(), SPEC))
        loaded = checkpoint.load(tmp_path)
        np.testing.assert_allclose(loaded.prepare()(images), loaded(images), rtol=1e-4)
