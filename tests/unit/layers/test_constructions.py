"""What each construction is: isometry or norm at most 1, adjoint, shift equivariance and gradient, in both precisions,
against explicit matrices. The Cayley convolution's are in functional/test_cayley_properties.py."""

from functools import partial

import explicit_cayley
import explicit_constructions
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from quick_models import quick_jit

from robust_iqa_jax.functional.block_convolution import explicit_kernel
from robust_iqa_jax.functional.conv2d import circular_conv, circular_conv_adjoint
from robust_iqa_jax.functional.semi_orthogonal import semi_orthogonal
from robust_iqa_jax.layers import CONVOLUTIONS, BCOPConv, BROConv, prepared

NAMES = [name for name in CONVOLUTIONS if name != "cayley"]
EXACT = ("bcop", "bro")
DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 3e-5, "float64": 1e-12}  # of the norm
KEY = jax.random.key(0)
SHAPES = st.tuples(*[st.integers(1, 7)] * 2, *[st.integers(1, 6)] * 2, st.integers(1, 4), st.integers(1, 4))


def value_and_gradients(layer, free, x, y_bar):
    y, pull = jax.vjp(lambda free, x: layer.apply({"params": free}, x), free, x)
    return y, *pull(y_bar)


jitted = quick_jit(value_and_gradients, static_argnums=0)


def layer_of(name, shape):
    return CONVOLUTIONS[name](shape[3], shape[4:], use_bias=False)


def draw(name, shape, rng, scale):
    """x, y_bar and free parameters, float64."""
    h, w, ci, co, *_ = shape
    leaves = jax.eval_shape(layer_of(name, shape).init, KEY, jax.ShapeDtypeStruct((1, h, w, ci), jnp.float32))
    free = {path: scale * rng.normal(size=leaf.shape) for path, leaf in leaves["params"].items()}
    return rng.normal(size=(2, h, w, ci)), rng.normal(size=(2, h, w, co)), free


def length(x):
    return np.linalg.norm(np.asarray(x, np.float64))


def amplification(name, shape, kernel):
    """By how much a block reflector multiplies a rounding: V^H V is rounded to a share of its mean diagonal over the
    frequencies, 1 once V's columns have length 1, or of its largest eigenvalue, and its inverse divides that by the
    smallest. 1 for the other constructions."""
    if name != "bro":
        return 1.0
    columns = kernel / np.sqrt((kernel**2).sum((0, 1, 3), keepdims=True))
    values = np.linalg.svd(explicit_cayley.spectrum(columns, shape[:2]), compute_uv=False)
    with np.errstate(divide="ignore"):
        return ((np.maximum(1, values.max(-1)) / values.min(-1)) ** 2).max()


def well_posed(name, shape, seed, scale):
    """Whether no rounding is multiplied by more than 300, and no weight of SLL, an exponential of a parameter, is
    beyond what float32 can add to another."""
    kernel = draw(name, shape, np.random.default_rng(seed), scale)[2]["kernel"]
    return amplification(name, shape, kernel) < 300 and not (name == "sll" and scale > 10)


def check(name, shape, seed, scale, dtypes=DTYPES):
    layer, rng = layer_of(name, shape), np.random.default_rng(seed)
    x, y_bar, free = draw(name, shape, rng, scale)
    direction = {path: rng.normal(size=leaf.shape) for path, leaf in free.items()}
    roll = rng.integers(0, 9, 2)
    reference = lambda free, x=x: explicit_constructions.convolve(name, x, free, shape[3], shape[4:])  # noqa: E731
    expected, gradients = reference(free), {}
    for dtype in dtypes:
        with jax.enable_x64(dtype == "float64"):

            def run(x=x, dtype=dtype):
                arguments = jax.tree.map(partial(jnp.asarray, dtype=dtype), (free, x, y_bar))
                return jax.tree.map(partial(np.asarray, dtype=np.float64), jitted(layer, *arguments))

            y, free_bar, x_bar = run()
            tolerance = TOLERANCE[dtype] * length(x)
            np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance, err_msg="explicit matrices")
            if name in EXACT and shape[3] >= shape[2]:
                assert abs(length(y) - length(x)) <= tolerance, "isometry"
            else:
                assert length(y) <= length(x) + tolerance + length(reference(free, 0 * x)), "norm"
            if name in EXACT and shape[3] < shape[2]:
                assert abs(length(x_bar) - length(y_bar)) <= TOLERANCE[dtype] * length(y_bar), "co-isometry"
            moved = run(np.roll(x, roll, (1, 2)))[0]
            np.testing.assert_allclose(moved, np.roll(y, roll, (1, 2)), rtol=0, atol=tolerance, err_msg="shift")
            if name == "sll":
                assert (
                    length(run(x + y_bar[..., :1])[0] - y)
                    <= length(np.broadcast_to(y_bar[..., :1], x.shape)) + tolerance
                )
            else:
                assert abs(np.vdot(y, y_bar) - np.vdot(x, x_bar)) <= tolerance * length(y_bar), "adjoint"
            gradients[dtype] = np.concatenate([leaf.ravel() for leaf in free_bar.values()])
    along = np.concatenate([leaf.ravel() for leaf in direction.values()])
    step = 1e-6 * scale
    ends = [reference({path: leaf + sign * step * direction[path] for path, leaf in free.items()}) for sign in (1, -1)]
    numeric = np.vdot(ends[0] - ends[1], y_bar) / (2 * step)
    # the derivative of V (V^H V)^-1 has the root of the inverse once more than its value
    floor = 1e-2 * max(1, amplification(name, shape, free["kernel"]) ** 1.5 / 30)
    for dtype, gradient in gradients.items():
        size = np.linalg.norm(gradient) * np.linalg.norm(along) + floor * length(y_bar) * length(x) / scale
        near = {"float32": 1e-3, "float64": 1e-5}[dtype]
        assert abs(np.vdot(gradient, along) - numeric) <= near * size, f"gradient in {dtype}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("shape", "dtypes"),
    [
        ((5, 4, 2, 6, 2, 3), DTYPES[:1]),
        ((4, 7, 5, 3, 3, 1), DTYPES[1:]),
        pytest.param((5, 4, 2, 6, 2, 3), DTYPES, marks=pytest.mark.slow),
    ],
)
def test_properties_odd_even_wide_and_narrow(name, shape, dtypes):
    check(name, shape, 0, 0.5, dtypes)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 9999), scale=st.floats(0.05, 20))
def test_properties_over_many_parameters(name, seed, scale):
    shape = (5, 4, 2, 6, 2, 3)
    assume(well_posed(name, shape, seed, scale))
    check(name, shape, seed, scale, ("float32",))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(shape=SHAPES, seed=st.integers(0, 9999), scale=st.floats(0.05, 20))
def test_properties_over_many_shapes(name, shape, seed, scale):
    assume(well_posed(name, shape, seed, scale))
    check(name, shape, seed, scale)


@pytest.mark.parametrize("sides", [(4, 9), (9, 4), (5, 5), (1, 3)])
@pytest.mark.parametrize("scale", [0.1, 3.0, 1e3, 1e7])
def test_free_matrices_of_any_size_become_orthonormal(sides, scale):
    free = scale * np.random.default_rng(0).normal(size=(2, *sides))
    q = np.asarray(semi_orthogonal(jnp.asarray(free, jnp.float32)), np.float64)
    gram = q @ q.swapaxes(1, 2) if sides[0] <= sides[1] else q.swapaxes(1, 2) @ q
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(min(sides)), gram.shape), atol=1e-6)
    if scale < 10:
        np.testing.assert_allclose(q[0], explicit_constructions.cayley_matrix(free[0]), atol=1e-4)


@pytest.mark.parametrize(("channels", "count"), [((4, 9), 2), ((9, 4), 2), ((5, 5), 1), ((5, 6), 1)])
def test_a_prepared_bcop_is_one_ordinary_convolution_or_the_two_that_cost_less(channels, count):
    layer, rng = BCOPConv(channels[1], (3, 2), use_bias=False), np.random.default_rng(0)
    x, _, free = draw("bcop", (5, 6, *channels, 3, 2), rng, 0.5)
    x, free = (jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree) for tree in (x, free))
    kernels = prepared(layer, {"params": free}, x)["operators"]["operator"].kernels
    assert len(kernels) == count
    explicit = explicit_kernel(free["kernel"][0, 0], free["bases"], (3, 2))
    assert explicit.shape == (3, 2, *channels)
    assert (np.abs(np.asarray(explicit)).max((2, 3)) > 1e-3).all()  # every tap is used
    y = layer.apply({"params": free}, x)
    np.testing.assert_allclose(circular_conv(x, explicit), y, atol=1e-5)
    for kernel in kernels:
        x = circular_conv(x, kernel)
    np.testing.assert_allclose(x, y, atol=1e-5)


def test_pairs_of_one_projector_that_follow_each_other_are_the_identity():
    basis = np.random.default_rng(0).normal(size=(1, 4, 2))
    kernel = explicit_kernel(jnp.zeros((4, 4)), jnp.asarray(np.repeat(basis, 4, 0), jnp.float32), (3, 3))
    expected = np.zeros((3, 3, 4, 4))
    expected[1, 1] = np.eye(4)
    np.testing.assert_allclose(kernel, expected, atol=1e-6)


def test_a_reflector_without_some_or_all_of_its_columns_is_still_orthogonal():
    x, layer = jnp.asarray(np.random.default_rng(0).normal(size=(1, 3, 4, 5)), jnp.float32), BROConv(6, rank=3)
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(3, 3, 3, 6)), jnp.float32)

    @quick_jit
    def value_and_gradient(kernel):
        y, pull = jax.vjp(lambda k: layer.apply({"params": {"kernel": k, "bias": jnp.zeros(6)}}, x), kernel)
        return y, pull(y)[0]

    for columns in (1, 3):  # as pruning leaves them
        pruned = kernel.at[:, :, :columns].set(0)
        y, gradient = value_and_gradient(pruned)
        assert length(y) == pytest.approx(length(x), rel=1e-5)
        assert np.isfinite(gradient).all()
    np.testing.assert_allclose(y[..., :5], x, atol=1e-6)


@pytest.mark.parametrize("taps", [(3, 3), (2, 4), (1, 5)])
def test_the_adjoint_of_a_circular_convolution_is_its_transpose(taps):
    rng = np.random.default_rng(0)
    x, kernel, y = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((2, 3, 4, 3), (*taps, 3, 5), (2, 3, 4, 5)))
    transposed = jax.linear_transpose(lambda x: circular_conv(x, kernel), x)(y)[0]
    np.testing.assert_allclose(circular_conv_adjoint(y, kernel), transposed, atol=1e-4)
