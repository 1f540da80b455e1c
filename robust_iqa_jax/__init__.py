"""robust_iqa_jax: adversarially robust no-reference image-quality assessment in JAX (arXiv 2506.04951).
Names are imported when they are asked for: `riqa --help` need not wait for JAX."""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robust_iqa_jax import attacks
    from robust_iqa_jax.data.images import read_image, read_images
    from robust_iqa_jax.evaluation.photo_scores import score_photos
    from robust_iqa_jax.models.by_name import create_model, list_models
    from robust_iqa_jax.models.checkpoint import load
    from robust_iqa_jax.models.foreign import wrap
    from robust_iqa_jax.models.scorer import Scorer
    from robust_iqa_jax.models.torch_module import wrap_torch
    from robust_iqa_jax.report.evaluate import evaluate
    from robust_iqa_jax.report.gallery import gallery

_HERE = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(_HERE, "kernels")):
    # Python was started in a checkout, where kernels, configs and benchmarks stand beside this package.
    __path__.append(os.path.dirname(_HERE))

__version__ = "0.1.0"
__all__ = [
    "Scorer",
    "__version__",
    "attacks",
    "create_model",
    "evaluate",
    "gallery",
    "list_models",
    "load",
    "read_image",
    "read_images",
    "score_photos",
    "wrap",
    "wrap_torch",
]

_PLACES = {
    "Scorer": "models.scorer",
    "create_model": "models.by_name",
    "evaluate": "report.evaluate",
    "gallery": "report.gallery",
    "list_models": "models.by_name",
    "load": "models.checkpoint",
    "read_image": "data.images",
    "read_images": "data.images",
    "score_photos": "evaluation.photo_scores",
    "wrap": "models.foreign",
    "wrap_torch": "models.torch_module",
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
