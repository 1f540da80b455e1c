"""robust_iqa_jax: adversarially robust no-reference image-quality assessment in JAX (arXiv 2506.04951)."""

from robust_iqa_jax import attacks
from robust_iqa_jax.data.images import read_image
from robust_iqa_jax.evaluation.evaluate import evaluate
from robust_iqa_jax.models.checkpoint import load
from robust_iqa_jax.models.scorer import Scorer

__version__ = "0.1.0"
__all__ = ["Scorer", "__version__", "attacks", "evaluate", "load", "read_image"]
