"""FGSM, a setting of the one loop in attacks.gradient; here under the path that is its public name."""

from robust_iqa_jax.attacks.gradient import FGSM

__all__ = ["FGSM"]
