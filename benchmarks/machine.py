"""What a result was measured on: processor, versions, and the machine's own ceilings, measured in the same run."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

PACKAGES = ("robust_iqa_jax", "jax", "jaxlib", "flax", "optax", "grain", "torch", "orthogonium")


def machine() -> dict[str, str]:
    """Processor or accelerator, Python, and the versions of what is installed of PACKAGES."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = f"{len(models)} x {models[0]}" if models else platform.processor()
    device = jax.devices()[0]
    accelerator = {} if device.platform == "cpu" else {"accelerator": device.device_kind}
    return {"machine": processor, **accelerator, "python": platform.python_version(), "packages": _versions()}


def _versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


@dataclass(frozen=True)
class Ceilings:
    """Best rates of this machine by simple programs.

    Attributes:
      flops: float32 operations a second in a large matrix product.
      bytes: bytes read and written a second in a large copy.
    """

    flops: float
    bytes: float


def ceilings(side: int = 2048, repeats: int = 5) -> Ceilings:
    """Measure both; a second or two on a CPU."""
    a = jnp.ones((side, side))
    product = jax.jit(lambda a: jnp.matmul(a, a, precision=jax.lax.Precision.HIGHEST))
    big = jnp.ones(1 << 26)
    copy = jax.jit(lambda x: x + 1)
    return Ceilings(2 * side**3 / _best(product, a, repeats), 2 * big.nbytes / _best(copy, big, repeats))


def _best(function: Callable[[jax.Array], jax.Array], argument: jax.Array, repeats: int) -> float:
    jax.block_until_ready(function(argument))
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(function(argument))
        seconds.append(time.perf_counter() - began)
    return float(np.min(seconds))
