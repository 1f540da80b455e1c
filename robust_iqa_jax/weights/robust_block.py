"""Names of the RobustBlock's variables in its authors' checkpoints, the same on all branches of their code.
Source: abhhfcgjk/VG_Architectural_Adversarial_Robustness, Cayley.py (CayleyBlockPool, CayleyConv)."""

from robust_iqa_jax.weights.conversion import LEAVES, Path

_MODULES = {"conv_in": "conv_in", "cayley": "conv_cayley"}


def torch_name(path: Path) -> str:
    """Name inside the block, from what follows its own name: (cayley, kernel) -> conv_cayley.weight.

    Their alpha is a scalar in float64 or, on the first branch, float32, and starts at 1; it goes with norm="spectrum".
    """
    module, leaf = path
    return f"{_MODULES[module]}.{LEAVES.get(leaf, leaf)}"
