"""robust_iqa_jax: adversarially robust no-reference image-quality assessment in JAX (arXiv 2506.04951).
Names are imported when they are asked for: `riqa --help` need not wait for JAX."""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robust_iqa_jax import attacks
    from robust_iqa_jax.data.images import read_image
    from robust_iqa_jax.models.checkpoint import load
    from robust_iqa_jax.models.scorer import Scorer
    from robust_iqa_jax.report.evaluate import evaluate

_HERE = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(_HERE, "kernels")):
    # Python was started in a checkout, where kernels, configs and benchmarks stand beside this package.
    __path__.append(os.path.dirname(_HERE))

__version__ = "0.1.0"
__all__ = ["Scorer", "__version__", "attacks", "evaluate", "load", "read_image"]

_PLACES = {
    "Scorer": "models.scorer",
    "evaluate": "report.evaluate",
    "load": "models.checkpoint",
    "read_image": "data.images",
}


def __getattr__(name: str) -> Any:
    """A public name, imported at its first use (PEP 562)."""
    if name == "attacks":
        return importlib.import_module(f"{__name__}.attacks")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
