"""Where Cayley convolutions end: forward mode, large and vanishing kernels, empty and unbatched maps, every type."""

import explicit_cayley
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.functional import cayley
from robust_iqa_jax.functional.authors_cayley import authors_cayley_conv
from robust_iqa_jax.layers.cayley_conv import OPERATORS, CayleyConv
from robust_iqa_jax.layers.robust_block import RobustBlock

pytestmark = pytest.mark.usefixtures("hardly_optimised")

jitted = jax.jit(cayley.cayley_conv, static_argnames=("norm", "solver"))
prepared = quick_jit(lambda x, *free: cayley.apply(cayley.prepare(*free, x.shape[1:3]), x))


def drawn(ci, co, size=(5, 6), count=1, seed=0, dtype=np.float32):
    """x, kernel, alpha and bias, drawn."""
    rng = np.random.default_rng(seed)
    x, kernel = rng.normal(size=(count, *size, ci)), rng.normal(size=(3, 3, ci, co))
    return tuple(np.asarray(a, dtype) for a in (x, kernel, 2.0, rng.normal(size=co)))


def length(x):
    return float(np.linalg.norm(np.asarray(x, np.float64)))


@pytest.mark.parametrize(("ci", "co", "count", "norm"), [(4, 6, 1, "taps"), (6, 4, 3, "spectrum"), (3, 3, 3, "taps")])
def test_forward_mode_is_the_difference_quotient_and_reverse_mode_its_transpose(ci, co, count, norm):
    with jax.enable_x64(True):
        at = tuple(map(jnp.asarray, drawn(ci, co, count=count, dtype=np.float64)))
        along = tuple(map(jnp.asarray, drawn(ci, co, count=count, seed=1, dtype=np.float64)))

        def f(*arguments):
            return jitted(*arguments, norm=norm)

        y, change = jax.jvp(f, at, along)
        step = 1e-6
        ends = [f(*(a + sign * step * d for a, d in zip(at, along, strict=True))) for sign in (1, -1)]
        np.testing.assert_allclose(change, (ends[0] - ends[1]) / (2 * step), atol=1e-7)
        back = jnp.asarray(np.random.default_rng(2).normal(size=y.shape))
        gradient = jax.vjp(f, *at)[1](back)
        there = sum(jnp.sum(g * d) for g, d in zip(gradient, along, strict=True))
        np.testing.assert_allclose(there, jnp.sum(back * change), rtol=1e-11)


def test_second_derivatives_are_those_of_the_explicit_construction_in_both_orders():
    with jax.enable_x64(True):
        x, kernel, alpha, bias = map(jnp.asarray, drawn(2, 3, size=(3, 4), dtype=np.float64))
        direction = jnp.asarray(np.random.default_rng(3).normal(size=kernel.shape))

        def loss(kernel):
            return jnp.sum(jnp.sin(jitted(x, kernel, alpha, bias)))

        def explicit(kernel):
            return np.sin(explicit_cayley.convolve(x, kernel, float(alpha), np.asarray(bias), "taps")).sum()

        forward = jax.jvp(jax.grad(loss), (kernel,), (direction,))[1]
        backward = jax.grad(lambda k: jnp.sum(jax.grad(loss)(k) * direction))(kernel)
        np.testing.assert_allclose(forward, backward, atol=1e-12)
        h = 1e-4
        second = [explicit(np.asarray(kernel + i * h * direction)) for i in (-1, 0, 1)]
        quotient = (second[0] - 2 * second[1] + second[2]) / h**2
        np.testing.assert_allclose(jnp.sum(forward * direction), quotient, rtol=1e-5)


def test_a_block_is_linearised_and_has_a_jacobian():
    block = RobustBlock(2)
    x = jnp.asarray(drawn(3, 3)[0])
    variables = quick_jit(block.init)(jax.random.key(0), x)
    one = jax.jit(lambda pixel: block.apply(variables, x.at[0, 2, 2, 0].set(pixel)))
    y, linear = jax.linearize(one, x[0, 2, 2, 0])
    np.testing.assert_allclose(jax.jacfwd(one)(x[0, 2, 2, 0]), linear(jnp.float32(1)), atol=1e-6)
    np.testing.assert_allclose(jax.jacrev(one)(x[0, 2, 2, 0]), linear(jnp.float32(1)), atol=1e-6)
    assert y.shape == (1, 2, 2, 3)


@pytest.mark.parametrize(("ci", "co", "norm"), [(4, 6, "taps"), (6, 4, "spectrum"), (5, 5, "taps")])
def test_an_all_zero_kernel_passes_the_map_on_and_has_finite_gradients(ci, co, norm):
    x, kernel, alpha, bias = drawn(ci, co)
    zero = np.zeros_like(kernel)
    y = jitted(x, zero, alpha, bias, norm=norm)
    passed = np.pad(x, ((0, 0),) * 3 + ((0, max(0, co - ci)),))[..., :co]
    np.testing.assert_allclose(y, passed + bias, atol=1e-6)
    both = np.asarray(quick_jit(lambda k: cayley.prepare(k, alpha, bias, (5, 6), norm))(zero).taps)
    assert not both.any()
    gradient = quick_jit(jax.grad(lambda *a: jnp.sum(cayley.cayley_conv(*a, norm=norm) ** 2), (0, 1, 2, 3)))
    assert all(np.isfinite(g).all() for g in gradient(x, zero, alpha, bias))


# (4, 7) and (16, 31) have a direction that nothing but the identity reaches; (33, 33) is eliminated in blocks
SIZES = [(4, 4), (5, 5), (4, 6), (6, 4), (4, 7), (16, 31), (16, 16), (16, 24), (17, 17), (33, 33), (3, 3)]


@pytest.mark.parametrize(("ci", "co"), SIZES)
def test_kernels_up_to_the_largest_keep_lengths_and_stay_near_the_explicit_construction(ci, co):
    edge = cayley.largest_kernel((3, 3, ci, co), np.float32)
    for alpha in (alpha for alpha in (1e2, 1e3, 1e4, 1e5, 1e6) if alpha <= edge):
        kept, near = (1e-3, 5e-3) if alpha <= 1e3 else (1e-2, 0.1)
        for seed in range(3):
            x, kernel, _, bias = drawn(ci, co, (8, 8), seed=seed)
            exact = explicit_cayley.convolve(x, kernel, alpha, 0, "taps")
            for convolve in (jitted, prepared):
                found = convolve(x, kernel, np.float32(alpha), 0 * bias)
                assert abs(length(found) / length(exact) - 1) < kept
                # without a rectangular part no square of the kernel is held: an error of one rounding of |W~|
                assert length(found - exact) / length(x) < (1e-6 + 2e-7 * alpha if ci == co else near)


@pytest.mark.parametrize(("ci", "co"), [(16, 16), (33, 33), (6, 4)])
def test_gradients_at_and_beyond_the_largest_kernel_are_finite(ci, co):
    x, kernel, _, bias = drawn(ci, co, (8, 8))
    gradient = quick_jit(jax.grad(lambda *a: jnp.sum(jnp.sin(cayley.cayley_conv(*a))), (0, 1, 2, 3)))
    for alpha in (1e6, 1e8):
        assert all(np.isfinite(g).all() for g in gradient(x, kernel, np.float32(alpha), bias))


def test_beyond_the_largest_kernel_is_an_error_where_values_are_known_and_its_edge_where_not():
    x, kernel, _, bias = drawn(4, 6)
    with pytest.raises(ValueError, match=r"alpha 2e\+06 makes a kernel of norm 2e\+06; above 1e\+06 the layer"):
        cayley.cayley_conv(x, kernel, np.float32(2e6), bias)
    with pytest.raises(ValueError, match="above 1000 the layer is not orthogonal in float32, lower alpha"):
        CayleyConv(7, alpha_init=2e3).init(jax.random.key(0), x)
    at_edge, beyond = (jitted(x, kernel, np.float32(alpha), bias) for alpha in (1e6, 1e8))
    np.testing.assert_allclose(beyond, at_edge, atol=1e-4)
    slope = quick_jit(jax.grad(lambda a: jnp.sum(cayley.cayley_conv(x, kernel, a, bias)[..., 0])))
    assert float(slope(np.float32(1e8))) == 0
    with jax.enable_x64(True):
        wide = [jnp.asarray(a, jnp.float64) for a in (x, kernel, 1e6, bias)]
        y = cayley.cayley_conv(*wide)
        exact = explicit_cayley.convolve(x, kernel, 1e6, bias, "taps")
    np.testing.assert_allclose(y, exact, atol=1e-4)


def test_maps_without_an_image_give_none_and_maps_without_pixels_or_channels_are_refused():
    x, kernel, alpha, bias = drawn(4, 6)
    assert cayley.cayley_conv(x[:0], kernel, alpha, bias).shape == (0, 5, 6, 6)
    assert authors_cayley_conv(x[:0], kernel, alpha, bias).shape == (0, 5, 6, 6)
    operator = cayley.prepare(kernel, alpha, bias, (5, 6))
    assert cayley.apply(operator, x[:0]).shape == (0, 5, 6, 6)
    for layer in (CayleyConv(6), RobustBlock(4, padding=1)):
        variables = quick_jit(layer.init)(jax.random.key(0), x)
        assert layer.apply(variables, x[:0]).shape[0] == 0
    for shape in ((1, 5, 6, 0), (1, 0, 6, 4), (1, 5, 0, 4), (5, 6)):
        with pytest.raises(ValueError, match="CayleyConv: maps"):
            CayleyConv(6).init(jax.random.key(0), jnp.zeros(shape))
    for layer in (CayleyConv(0), CayleyConv(3, kernel_size=0), CayleyConv(3, kernel_size=(3, 3, 3))):
        with pytest.raises(ValueError, match="features and both sides of the kernel must be at least 1"):
            layer.init(jax.random.key(0), x)
    with pytest.raises(ValueError, match="cayley_conv: a kernel"):
        cayley.cayley_conv(x[..., :0], kernel[:, :, :0], alpha, bias)


def test_one_number_is_both_sides_of_the_kernel_and_maps_need_no_batch():
    x = jnp.asarray(drawn(4, 6, count=4)[0])
    layer = CayleyConv(6, kernel_size=3)
    variables = quick_jit(layer.init)(jax.random.key(0), x)
    y = layer.apply(variables, x)
    np.testing.assert_array_equal(y, CayleyConv(6, kernel_size=(3, 3)).apply(variables, x))
    np.testing.assert_allclose(layer.apply(variables, x[0]), y[0], atol=1e-6)
    many = layer.apply(variables, x.reshape(2, 2, 5, 6, 4))
    np.testing.assert_allclose(many.reshape(y.shape), y, atol=1e-6)


DTYPES = ["bfloat16", "float16", "float32", "float64", "uint8", "int32"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("parameters", ["bfloat16", "float32", "float64"])
def test_maps_and_parameters_of_any_type_are_convolved_in_the_wider_one(dtype, parameters):
    x, *free = drawn(4, 6)
    with jax.enable_x64("float64" in (dtype, parameters)):
        given = jnp.asarray(np.round(10 * np.abs(x)) if "int" in dtype else x).astype(dtype)
        free = [jnp.asarray(a).astype(parameters) for a in free]
        exact = explicit_cayley.convolve(
            *(np.asarray(a, np.float64) for a in (given, free[0])), float(free[1]), np.asarray(free[2], float), "taps"
        )
        y = cayley.cayley_conv(given, *free)
        assert y.dtype == jnp.result_type(jnp.float32, *(a.dtype for a in (free[0], given) if a.dtype.kind != "i"))
        np.testing.assert_allclose(y, exact, rtol=1e-4, atol=1e-4)
        layer, variables = CayleyConv(6), {"params": dict(zip(("kernel", "alpha", "bias"), free, strict=True))}
        made = layer.apply(variables, given, mutable=[OPERATORS])
        result = jnp.dtype("float32") if "int" in dtype else jnp.dtype(dtype)
        for found in (layer.apply(variables, given), made[0], layer.apply(made[1], given)):
            assert found.dtype == result
            rounding = float(jnp.finfo(result).eps)
            np.testing.assert_allclose(np.asarray(found, np.float64), exact, rtol=rounding + 1e-4, atol=rounding + 1e-4)


def test_parameters_win_over_an_operator_that_others_may_have_made():
    x = jnp.asarray(drawn(4, 6)[0])
    layer = CayleyConv(6)
    variables = quick_jit(layer.init)(jax.random.key(0), x)
    _, operators = layer.apply(variables, x, mutable=[OPERATORS])
    changed = jax.tree.map(lambda leaf: 1.5 * leaf + 0.1, variables)
    np.testing.assert_array_equal(layer.apply({**changed, **operators}, x), layer.apply(changed, x))
