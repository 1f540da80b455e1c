"""Attacks on quality scores: one file an attack over one small core."""

from robust_iqa_jax.attacks.amifgsm import AMIFGSM as amifgsm
from robust_iqa_jax.attacks.apgd import APGD as apgd
from robust_iqa_jax.attacks.carlini_wagner import CarliniWagner as carlini_wagner
from robust_iqa_jax.attacks.fgsm import FGSM as fgsm
from robust_iqa_jax.attacks.ifgsm import IFGSM as ifgsm
from robust_iqa_jax.attacks.mifgsm import MIFGSM as mifgsm
from robust_iqa_jax.attacks.pgd import PGD as pgd

__all__ = ["amifgsm", "apgd", "carlini_wagner", "fgsm", "ifgsm", "mifgsm", "pgd"]
