"""Where Cayley convolutions end: forward mode, large and vanishing kernels, empty and unbatched maps, every type."""

import explicit_cayley
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.functional import cayley
from robust_iqa_jax.functional.authors_cayley import authors_cayley_conv
from robust_iqa_jax.kernels.cayley_solve.planes import Planes
from robust_iqa_jax.layers import OPERATORS, CayleyConv
from robust_iqa_jax.layers.robust_block import RobustBlock

jitted = quick_jit(cayley.cayley_conv, static_argnames="norm")


def drawn(ci, co, size=(5, 6), count=1, seed=0, dtype=np.float32, sides=(1, 2)):
    """x, kernel, alpha and bias, drawn."""
    rng = np.random.default_rng(seed)
    x, kernel = rng.normal(size=(count, *size, ci)), rng.normal(size=(*sides, ci, co))
    return tuple(np.asarray(a, dtype) for a in (x, kernel, 2.0, rng.normal(size=co)))


def explicit(x, kernel, alpha, bias, norm="taps"):
    return explicit_cayley.convolve(x, np.asarray(kernel, np.float64), float(alpha), np.asarray(bias), norm)


def length(x):
    return float(np.linalg.norm(np.asarray(x, np.float64)))


@pytest.mark.parametrize(("ci", "co", "count", "norm"), [(4, 6, 1, "taps"), (6, 4, 3, "spectrum")])
def test_forward_mode_is_the_difference_quotient_and_reverse_mode_its_transpose(ci, co, count, norm):
    at = drawn(ci, co, count=count, dtype=np.float64)
    along = drawn(ci, co, count=count, seed=1, dtype=np.float64)
    back = np.random.default_rng(2).normal(size=(count, 5, 6, co))

    @quick_jit
    def run(at, along, back):
        f = lambda *arguments: cayley.cayley_conv(*arguments, norm=norm)  # noqa: E731
        return jax.linearize(f, *at)[1](*along), jax.vjp(f, *at)[1](back)

    with jax.enable_x64(True):
        change, gradient = run(at, along, back)
    step = 1e-6
    ends = [explicit(*(a + sign * step * d for a, d in zip(at, along, strict=True)), norm) for sign in (1, -1)]
    np.testing.assert_allclose(change, (ends[0] - ends[1]) / (2 * step), atol=1e-7)
    there = sum(np.vdot(g, d) for g, d in zip(gradient, along, strict=True))
    np.testing.assert_allclose(there, np.vdot(back, change), rtol=1e-11)


def test_second_derivatives_are_those_of_the_explicit_construction_in_both_orders():
    x, kernel, alpha, bias = drawn(2, 3, size=(3, 4), dtype=np.float64)
    direction = np.random.default_rng(3).normal(size=kernel.shape)

    @quick_jit
    def both(kernel):
        loss = lambda kernel: jnp.sum(jnp.sin(cayley.cayley_conv(x, kernel, alpha, bias)))  # noqa: E731
        forward = jax.jvp(jax.grad(loss), (kernel,), (direction,))[1]
        return forward, jax.grad(lambda k: jnp.sum(jax.grad(loss)(k) * direction))(kernel)

    with jax.enable_x64(True):
        forward, backward = both(kernel)
    np.testing.assert_allclose(forward, backward, atol=1e-12)
    h = 1e-4
    second = [np.sin(explicit(x, kernel + i * h * direction, alpha, bias)).sum() for i in (-1, 0, 1)]
    quotient = (second[0] - 2 * second[1] + second[2]) / h**2
    np.testing.assert_allclose(np.vdot(forward, direction), quotient, rtol=1e-5)


def value_and_gradients(x, kernel, alpha, bias, norm):
    """Of sum(sin y), and y."""

    def loss(*arguments):
        y = cayley.cayley_conv(*arguments, norm=norm)
        return jnp.sum(jnp.sin(y)), y

    return jax.grad(loss, (0, 1, 2, 3), has_aux=True)(x, kernel, alpha, bias)


jitted_gradients = quick_jit(value_and_gradients, static_argnums=4)


@pytest.mark.parametrize(("ci", "co", "norm"), [(4, 6, "taps"), (6, 4, "spectrum")])
def test_an_all_zero_kernel_passes_the_map_on_and_gradients_are_finite_there_and_at_the_largest(ci, co, norm):
    x, kernel, alpha, bias = drawn(ci, co)
    gradients, y = jitted_gradients(x, np.zeros_like(kernel), alpha, bias, norm)
    through = np.pad(x, ((0, 0),) * 3 + ((0, max(0, co - ci)),))[..., :co]
    np.testing.assert_allclose(y, through + bias, atol=1e-6)
    assert not np.asarray(cayley.scaled_kernel(jnp.zeros_like(kernel), alpha, (5, 6), norm)).any()
    assert all(np.isfinite(g).all() for g in gradients)
    for alpha in (1e6, 1e8):
        assert all(np.isfinite(g).all() for g in jitted_gradients(x, kernel, np.float32(alpha), bias, norm)[0])


def test_beyond_the_largest_kernel_is_an_error_where_values_are_known_and_its_edge_where_not():
    x, kernel, _, bias = drawn(4, 6)
    with pytest.raises(ValueError, match=r"alpha 2e\+06 makes a kernel of norm 2e\+06; above 1e\+06 the layer"):
        cayley.cayley_conv(x, kernel, np.float32(2e6), bias)
    with pytest.raises(ValueError, match="above 1000 the layer is not orthogonal in float32, lower alpha"):
        CayleyConv(7, alpha_init=2e3).init(jax.random.key(0), x)
    (_, at_edge), (gradients, beyond) = (
        jitted_gradients(x, kernel, np.float32(alpha), bias, "taps") for alpha in (1e6, 1e8)
    )
    np.testing.assert_allclose(beyond, at_edge, atol=1e-4)
    assert float(gradients[2]) == 0
    with jax.enable_x64(True):
        y = jitted(*(jnp.asarray(a, jnp.float64) for a in (x, kernel, 1e6, bias)))
    np.testing.assert_allclose(y, explicit(x, kernel, 1e6, bias), atol=1e-4)


# of closed form, even, odd; (4, 7) has a direction that nothing but the identity reaches; (33, 33) is eliminated in
# blocks
SIZES = [(3, 3), (4, 6), (4, 7), (6, 4), (33, 33)]
MORE = [(4, 4), (5, 5), (16, 31), (16, 16), (16, 24), (17, 17), (33, 60)]


@pytest.mark.parametrize(("ci", "co"), [*SIZES, *(pytest.param(*size, marks=pytest.mark.slow) for size in MORE)])
def test_kernels_up_to_the_largest_keep_lengths_and_stay_near_the_explicit_construction(ci, co):
    edge = cayley.largest_kernel((1, 2, ci, co), np.float32)
    both = quick_jit(lambda x, *free: (cayley.cayley_conv(x, *free), cayley.apply(cayley.prepare(*free, (4, 4)), x)))
    for alpha in (alpha for alpha in (1e2, 1e3, 1e4, 1e5, 1e6) if alpha <= edge):
        kept, near = (1e-3, 5e-3) if alpha <= 1e3 else (1e-2, 0.1)
        for seed in range(3):
            x, kernel, _, bias = drawn(ci, co, (4, 4), seed=seed)
            exact = explicit(x, kernel, alpha, 0)
            for y in both(x, kernel, np.float32(alpha), 0 * bias):
                assert abs(length(y) / length(exact) - 1) < kept
                # without a rectangular part no square of the kernel is held: an error of one rounding of |W~|
                assert length(y - exact) / length(x) < (1e-6 + 2e-7 * alpha if ci == co else near)


def test_maps_without_an_image_give_none():
    x, kernel, alpha, bias = drawn(4, 6)
    operator = cayley.CayleyOperator(Planes(*jnp.zeros((2, 20, 4, 4))), kernel[..., 4:], bias, (5, 6), True)

    @quick_jit
    def run(x):
        return (
            cayley.cayley_conv(x, kernel, alpha, bias),
            authors_cayley_conv(x, kernel, alpha, bias),
            cayley.apply(operator, x),
        )

    assert [y.shape for y in run(x[:0])] == [(0, 5, 6, 6)] * 3
    for layer in (CayleyConv(6), RobustBlock(4, padding=1)):
        y = jax.eval_shape(lambda x, layer=layer: layer.init_with_output(jax.random.key(0), x)[0], x[:0])
        assert y.shape[0] == 0


def test_maps_without_pixels_or_channels_are_refused():
    x, kernel, alpha, bias = drawn(4, 6)
    for shape in ((1, 5, 6, 0), (1, 0, 6, 4), (1, 5, 0, 4), (5, 6)):
        with pytest.raises(ValueError, match="CayleyConv: maps"):
            CayleyConv(6).init(jax.random.key(0), np.zeros(shape, np.float32))
    for layer in (CayleyConv(0), CayleyConv(3, kernel_size=0), CayleyConv(3, kernel_size=(3, 3, 3))):
        with pytest.raises(ValueError, match="features and both sides of the kernel must be at least 1"):
            layer.init(jax.random.key(0), x)
    with pytest.raises(ValueError, match="cayley_conv: a kernel"):
        cayley.cayley_conv(x[..., :0], kernel[:, :, :0], alpha, bias)


def parameters_of(kernel, alpha, bias):
    return {"params": {"kernel": kernel, "alpha": alpha, "bias": bias}}


def test_one_number_is_both_sides_of_the_kernel_and_maps_need_no_batch():
    x, *free = drawn(4, 6, count=4)
    layer, variables = CayleyConv(6, (1, 2)), parameters_of(*free)
    y, first, many = quick_jit(
        lambda x: [layer.apply(variables, maps) for maps in (x, x[0], x.reshape(2, 2, 5, 6, 4))]
    )(x)
    np.testing.assert_allclose(first, y[0], atol=1e-6)
    np.testing.assert_allclose(many.reshape(y.shape), y, atol=1e-6)
    one, two = (jax.eval_shape(CayleyConv(6, sides).init, jax.random.key(0), x) for sides in (3, (3, 3)))
    assert one == two
    assert one["params"]["kernel"].shape == (3, 3, 4, 6)


DTYPES = ["bfloat16", "float16", "float32", "float64", "uint8", "int32"]


def all_ways(x, *free):
    """By the function, by the layer, and by the layer with its operator prepared."""
    layer, variables = CayleyConv(6, (1, 2)), parameters_of(*free)
    y, operators = layer.apply(variables, x, mutable=[OPERATORS])
    return cayley.cayley_conv(x, *free), layer.apply(variables, x), y, layer.apply(operators, x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("parameters", ["bfloat16", "float32", "float64"])
def test_maps_and_parameters_of_any_type_are_convolved_in_the_wider_one(dtype, parameters):
    with jax.enable_x64("float64" in (dtype, parameters)):
        x, *free = (
            jax.ShapeDtypeStruct(a.shape, t) for a, t in zip(drawn(4, 6), [dtype, *[parameters] * 3], strict=True)
        )
        wide, *results = jax.eval_shape(all_ways, x, *free)
        assert wide.dtype == jnp.result_type(jnp.float32, *(a.dtype for a in (free[0], x) if a.dtype.kind not in "iu"))
        seen = "float32" if "int" in dtype else dtype
        assert {y.dtype for y in results} == {jnp.promote_types(seen, parameters)}, "as of flax.linen.Conv"


@pytest.mark.parametrize(
    ("dtype", "parameters"), [("bfloat16", "bfloat16"), ("uint8", "float32"), ("float32", "float64")]
)
def test_nothing_is_computed_in_the_narrower_type(dtype, parameters):
    x, *free = drawn(4, 6)
    with jax.enable_x64(parameters == "float64"):
        x = jnp.asarray(np.round(10 * np.abs(x)) if "int" in dtype else x).astype(dtype)
        free = [jnp.asarray(a).astype(parameters) for a in free]
        exact = explicit(*(np.asarray(a, np.float64) for a in (x, *free)))
        for y in quick_jit(all_ways)(x, *free):
            rounding = float(jnp.finfo(y.dtype).eps)
            np.testing.assert_allclose(np.asarray(y, np.float64), exact, rtol=rounding + 1e-4, atol=rounding + 1e-4)


def test_parameters_win_over_an_operator_that_others_may_have_made():
    x, *free = drawn(4, 6)
    layer, variables = CayleyConv(6, (1, 2)), parameters_of(*free)
    operators = jax.eval_shape(lambda: layer.apply(variables, x, mutable=[OPERATORS])[1])
    others = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.5, leaf.dtype), operators)
    with_both, alone = quick_jit(lambda x: [layer.apply(v, x) for v in ({**variables, **others}, variables)])(x)
    np.testing.assert_array_equal(with_both, alone)
