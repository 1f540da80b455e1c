"""Convolution divided by its spectral norm, estimated by power iteration: 1-Lipschitz, but nothing is preserved.
Source: Miyato et al. 2018 (arXiv 1802.05957), by the operator's own norm as in Gouk et al. (arXiv 1804.04368)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.conv2d import circular_conv


def spectral_norm(kernel: Float[Array, "kh kw i o"], size: tuple[int, int], steps: int = 10) -> Float[Array, ""]:
    """Largest singular value of the circular convolution on maps of (H, W), from below, by `steps` power iterations."""
    v = jax.random.normal(jax.random.key(0), (1, *size, kernel.shape[2]), kernel.dtype)
    frozen = jax.lax.stop_gradient(kernel)  # the gradient takes the singular vectors as given, which is exact

    def step(_: Array, v: Array) -> Array:
        u, back = jax.vjp(lambda v: circular_conv(v, frozen), v)
        (v,) = back(u)
        return v / jnp.linalg.norm(v.ravel())

    v = jax.lax.fori_loop(0, steps, step, v / jnp.linalg.norm(v.ravel()))
    return jnp.linalg.norm(circular_conv(v, kernel).ravel())


def spectral_norm_conv(
    x: Float[Array, "n h w i"], kernel: Float[Array, "kh kw i o"], bias: Float[Array, " o"], steps: int = 10
) -> Float[Array, "n h w o"]:
    """Circular convolution of x (n, H, W, in) with the kernel divided by its spectral norm."""
    return circular_conv(x, kernel / spectral_norm(kernel, (x.shape[1], x.shape[2]), steps)) + bias
