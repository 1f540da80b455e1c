"""robust_iqa_jax: adversarially robust no-reference image-quality assessment in JAX (arXiv 2506.04951)."""

__version__ = "0.1.0"
