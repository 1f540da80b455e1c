"""Attacks on quality scores: one file an attack over one small core."""

from robust_iqa_jax.attacks.pgd import PGD as pgd

__all__ = ["pgd"]
