"""robust_iqa_jax: adversarially robust no-reference image-quality assessment in JAX (arXiv 2506.04951)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robust_iqa_jax import attacks
    from robust_iqa_jax.evaluation.evaluate import evaluate
    from robust_iqa_jax.models.checkpoint import load
    from robust_iqa_jax.models.scorer import Scorer

__version__ = "0.1.0"
__all__ = ["Scorer", "__version__", "attacks", "evaluate", "load"]

_PLACES = {
    "Scorer": "robust_iqa_jax.models.scorer",
    "evaluate": "robust_iqa_jax.evaluation.evaluate",
    "load": "robust_iqa_jax.models.checkpoint",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are asked for: `riqa models` and `riqa --help` need none of JAX."""
    if name == "attacks":
        return import_module("robust_iqa_jax.attacks")
    if name in _PLACES:
        value = globals()[name] = getattr(import_module(_PLACES[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
