"""Shapes at which the Cayley convolution is measured: what reaches it after pooling and conv_in in the seeds' models.
Source: arXiv 2506.04951 and its code; table of docs/sources.md 1.5."""

import re
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Case:
    """A square map of side n and channels in -> out, 3 x 3 kernel."""

    name: str
    side: int
    channels_in: int
    channels_out: int
    where: str


CASES = {
    case.name: case
    for case in (
        Case("position1", 486, 3, 3, "before the first layer, LinearityIQA at 498x664"),
        Case("position2", 120, 64, 64, "before layer1"),
        Case("position4", 59, 128, 512, "inside layer2"),
        Case("position6", 29, 200, 1024, "after layer3, the paper's choice"),
        Case("koncept", 7, 1040, 2080, "KonCept512 at 384x512"),
        Case("koncept-large", 19, 1040, 2080, "KonCept512 at 768x1024"),
        Case("tres", 14, 512, 1024, "TReS, 224x224 crops"),
        Case("lite0", 32, 96, 112, "EfficientNet-Lite0 at 500x500, stage5"),
        Case("small", 9, 12, 20, "for tests"),
    )
}


def case_of(name: str) -> Case:
    """A case of CASES, or one that is described as SIDExINxOUT.

    Raises:
      ValueError: neither.
    """
    if name in CASES:
        return CASES[name]
    if re.fullmatch(r"[1-9]\d*(x[1-9]\d*){2}", name):
        side, channels_in, channels_out = map(int, name.split("x"))
        return Case(name, side, channels_in, channels_out, "as described")
    raise ValueError(f"--case {name}: unknown; choose among {', '.join(CASES)}, or describe it, as in 29x200x1024")


@dataclass(frozen=True)
class Parameters:
    """Free parameters of one convolution, float64: what torch's default initialisation would draw, alpha = |kernel|."""

    kernel: np.ndarray
    alpha: float
    bias: np.ndarray


def parameters(case: Case, seed: int = 0) -> Parameters:
    """Parameters of a case."""
    rng = np.random.default_rng(seed)
    bound = 1 / np.sqrt(9 * case.channels_in)
    kernel = rng.uniform(-bound, bound, (3, 3, case.channels_in, case.channels_out))
    return Parameters(kernel, float(np.linalg.norm(kernel)), rng.uniform(-bound, bound, case.channels_out))


def maps(case: Case, batch: int, seed: int = 1) -> jax.Array:
    """Standard normal maps (batch, n, n, in), float32."""
    shape = (batch, case.side, case.side, case.channels_in)
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)
