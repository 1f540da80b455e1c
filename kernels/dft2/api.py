"""Real 2-d transforms of maps: one entry point over jnp.fft and products with DFT matrices.
Measured by benchmarks/fft_core.py."""

from types import ModuleType
from typing import Literal, get_args

from jaxtyping import Array, Complex, Float

from robust_iqa_jax.kernels.dft2 import matmul, reference

Transform = Literal["auto", "fft", "matmul"]
TRANSFORMS: dict[Transform, ModuleType] = {"fft": reference, "matmul": matmul}
AUTO: Transform = "fft"
"""What "auto" means, for maps of every size (kernels/README.md has the measurements)."""


def rfft2(x: Float[Array, "n h w c"], transform: Transform = "auto") -> Complex[Array, "n h k c"]:
    """Spectrum over height and width of real maps.

    Args:
      x: (n, h, w, c) float32 or float64.
      transform: "fft", "matmul" or "auto".

    Returns:
      (n, h, w // 2 + 1, c) complex.

    Raises:
      ValueError: unknown transform.
    """
    return _module(transform).rfft2(x)


def irfft2(
    spectrum: Complex[Array, "n h k c"], size: tuple[int, int], transform: Transform = "auto"
) -> Float[Array, "n h w c"]:
    """Map of a given size from its spectrum.

    Args:
      spectrum: (n, h, w // 2 + 1, c).
      size: (h, w).
      transform: "fft", "matmul" or "auto".

    Returns:
      (n, h, w, c).

    Raises:
      ValueError: unknown transform.
    """
    return _module(transform).irfft2(spectrum, size)


def _module(transform: Transform) -> ModuleType:
    if transform not in get_args(Transform):
        raise ValueError(f"dft2: unknown transform {transform!r}; choose one of {', '.join(get_args(Transform))}")
    return TRANSFORMS[AUTO if transform == "auto" else transform]
