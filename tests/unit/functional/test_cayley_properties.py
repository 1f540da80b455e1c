"""What makes the Cayley convolution orthogonal, over random shapes: odd, even, rectangular; float32 and float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quick_models import quick_jit

from robust_iqa_jax.functional.cayley import cayley_conv

SHAPES = st.tuples(*[st.integers(1, 9)] * 2, *[st.integers(1, 7)] * 2, st.integers(1, 4), st.integers(1, 4))
DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 5e-5, "float64": 1e-12}  # of the norm; float32 loses a digit where alpha is large


@quick_jit
def value_and_gradients(x, kernel, alpha, bias, y_bar):
    y, pull = jax.vjp(lambda x, k: cayley_conv(x, k, alpha, bias), x, kernel)
    return y, *pull(y_bar)


def check(shape, seed, scale, dtypes=DTYPES):
    h, w, ci, co, *taps = shape
    rng = np.random.default_rng(seed)
    kernel, x, y_bar = (rng.normal(size=s) for s in ((*taps, ci, co), (1, h, w, ci), (1, h, w, co)))
    direction, roll = rng.normal(size=kernel.shape), rng.integers(0, 9, 2)
    gradients = {}
    for dtype in dtypes:
        with jax.enable_x64(dtype == "float64"):

            def run(x=x, kernel=kernel, dtype=dtype):
                arguments = (jnp.asarray(v, dtype) for v in (x, kernel, scale, np.zeros(co), y_bar))
                return [np.asarray(v, np.float64) for v in value_and_gradients(*arguments)]

            y, x_bar, kernel_bar = run()
            tolerance = TOLERANCE[dtype] * np.linalg.norm(x)
            if co >= ci:
                assert abs(np.linalg.norm(y) - np.linalg.norm(x)) <= tolerance, "isometry"
            else:
                assert np.linalg.norm(y) <= np.linalg.norm(x) + tolerance, "never grows"
                assert abs(np.linalg.norm(x_bar) - np.linalg.norm(y_bar)) <= tolerance + 1e-4, "transpose is isometric"
            # <Q x, y> = <x, Q^T y>: the cotangent of x is the adjoint's value
            assert abs(np.vdot(y, y_bar) - np.vdot(x, x_bar)) <= tolerance * np.linalg.norm(y_bar), "adjoint"
            moved = run(x=np.roll(x, roll, (1, 2)))[0]
            np.testing.assert_allclose(moved, np.roll(y, roll, (1, 2)), rtol=0, atol=tolerance, err_msg="shift")
            gradients[dtype] = kernel_bar
            if dtype == "float64":
                ends = [run(kernel=kernel + s * 1e-6 * direction)[0] for s in (1, -1)]
                numeric = np.vdot(ends[0] - ends[1], y_bar) / 2e-6
                size = np.linalg.norm(direction) * np.linalg.norm(kernel_bar) + 1e-3
                assert abs(np.vdot(kernel_bar, direction) - numeric) <= 1e-5 * size, "gradient"
    if len(dtypes) == 2:
        error = np.linalg.norm(gradients["float32"] - gradients["float64"])
        assert error <= 1e-3 * np.linalg.norm(gradients["float64"]) + 1e-4, "gradient in float32"


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(deadline=None, max_examples=60)
@given(shape=SHAPES, seed=st.integers(0, 9999), scale=st.floats(0.05, 50))
def test_isometry_adjoint_shift_and_gradient_over_many_shapes(shape, seed, scale):
    check(shape, seed, scale)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 9999), scale=st.floats(0.05, 50))
def test_isometry_adjoint_shift_and_gradient_over_many_kernels(seed, scale):
    check((7, 4, 3, 8, 2, 1), seed, scale, ("float32",))


@pytest.mark.parametrize("shape", [(7, 4, 3, 8, 2, 1), (6, 7, 5, 4, 1, 2)])
def test_isometry_adjoint_shift_and_gradient_odd_even_rectangular(shape):
    check(shape, 0, 3.0)
