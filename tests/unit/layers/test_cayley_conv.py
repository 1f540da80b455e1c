"""What CayleyConv has beside the other layers: alpha, warm starts, and the published code's way with odd widths."""

from functools import partial

import explicit_cayley
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.layers import OPERATORS, WARM_STARTS, CayleyConv

# a module is static: equal ones share what is compiled
applied = quick_jit(lambda layer, variables, x: layer.apply(variables, x), static_argnums=0)


def initial(layer, x):
    """Variables of the layer, drawn in numpy; alpha is 2."""
    rng, shapes = np.random.default_rng(1), jax.eval_shape(layer.init, jax.random.key(0), x)
    drawn = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) / 3, leaf.dtype), shapes)
    return {"params": {**drawn["params"], "alpha": jnp.float32(2)}}


def drawn(size, channels, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(2, *size, channels)), jnp.float32)


def test_prepared_operator_gives_what_the_parameters_give():
    layer, x = CayleyConv(6, (1, 2)), drawn((5, 6), 4)
    variables = initial(layer, x)
    y, prepared = quick_jit(partial(layer.apply, mutable=[OPERATORS]))(variables, x)
    np.testing.assert_array_equal(applied(layer, prepared, x), y)
    np.testing.assert_allclose(y, applied(layer, variables, x), atol=1e-5)
    with pytest.raises(ValueError, match=r"prepared for maps of \(5, 6\), got \(6, 5\)"):
        layer.apply(prepared, x.swapaxes(1, 2))


def test_alpha_starts_at_the_norm_so_that_the_kernel_is_used_as_it_is():
    layer, x = CayleyConv(9), drawn((5, 6), 4)
    variables = quick_jit(layer.init)(jax.random.key(0), x)["params"]
    assert float(variables["alpha"]) == pytest.approx(float(jnp.linalg.norm(variables["kernel"])), rel=1e-6)
    assert set(variables) == {"kernel", "alpha", "bias"}
    assert variables["kernel"].shape == (3, 3, 4, 9)
    assert 0.9 < 6 * float(jnp.abs(variables["kernel"]).max()) <= 1  # uniform up to 1 / sqrt(fan-in)


def test_warm_start_is_carried_from_step_to_step():
    layer, x = CayleyConv(6, (1, 2), solver="newton_schulz"), drawn((5, 6), 4)
    variables = initial(layer, x)
    y, state = quick_jit(partial(layer.apply, mutable=[WARM_STARTS]))(variables, x)
    plain = applied(CayleyConv(6, (1, 2)), variables, x)
    np.testing.assert_allclose(y, plain, atol=1e-5)
    stored = state[WARM_STARTS]["inverse"]
    assert stored.shape == (5 * 4, 4, 4)
    warm = applied(layer, {**variables, **state}, x)  # reads it, and need not be able to write it
    np.testing.assert_allclose(warm, plain, atol=1e-5)


@pytest.mark.parametrize(("size", "features"), [((5, 7), 6), ((5, 7), 3), ((5, 4), 6)])
def test_authors_way_transforms_back_without_the_width(size, features):
    layer = CayleyConv(features, (1, 2), norm="spectrum", alpha_init=1.0, compat="authors")
    x = drawn(size, 4)
    variables = initial(layer, x)
    kernel, bias = (np.asarray(variables["params"][name], np.float64) for name in ("kernel", "bias"))
    q = explicit_cayley.orthogonal_spectrum(kernel, 2.0, size, "spectrum")[:, : size[1] // 2 + 1]
    spectrum = np.einsum("hkoi,nhki->nhko", q, np.fft.rfft2(np.asarray(x, np.float64), axes=(1, 2)))
    expected = np.fft.irfft2(spectrum, axes=(1, 2)) + bias  # numpy's default width, even
    y = applied(layer, variables, x)
    assert y.shape[2] == size[1] - size[1] % 2
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_an_unknown_compat_is_named():
    with pytest.raises(ValueError, match="unknown compat 'torch'"):
        CayleyConv(9, compat="torch").init(jax.random.key(0), drawn((5, 6), 4))  # pyright: ignore[reportArgumentType]
