"""Attacks on quality scores: one file an attack over one small core; attacks.registry has them by name.
A public name that is a module's too is that module, which makes the attack when called (callable_module)."""

import sys
from typing import TYPE_CHECKING, Any

from robust_iqa_jax.attacks.amifgsm import AMIFGSM as amifgsm
from robust_iqa_jax.attacks.apgd import APGD as apgd
from robust_iqa_jax.attacks.callable_module import make_callable
from robust_iqa_jax.attacks.carlini_wagner import CarliniWagner as carlini_wagner
from robust_iqa_jax.attacks.color_curves import ColorCurves as color_curves
from robust_iqa_jax.attacks.eot import EOT as eot
from robust_iqa_jax.attacks.facpa import FACPA as facpa
from robust_iqa_jax.attacks.fgsm import FGSM as fgsm
from robust_iqa_jax.attacks.fmn import FMN as fmn
from robust_iqa_jax.attacks.gamma_unsharp import GammaUnsharp as gamma_unsharp
from robust_iqa_jax.attacks.ifgsm import IFGSM as ifgsm
from robust_iqa_jax.attacks.ioi import IOI as ioi
from robust_iqa_jax.attacks.jpeg import JPEG as jpeg
from robust_iqa_jax.attacks.korhonen import Korhonen as korhonen
from robust_iqa_jax.attacks.madc import MADC as madc
from robust_iqa_jax.attacks.mifgsm import MIFGSM as mifgsm
from robust_iqa_jax.attacks.nes import NES as nes
from robust_iqa_jax.attacks.noise import GaussianNoise as gaussian_noise
from robust_iqa_jax.attacks.noise import UniformNoise as uniform_noise
from robust_iqa_jax.attacks.patch_rs import PatchRS as patch_rs
from robust_iqa_jax.attacks.perceptual import Perceptual as perceptual
from robust_iqa_jax.attacks.pgd import PGD as pgd
from robust_iqa_jax.attacks.quantise import Quantise as quantise
from robust_iqa_jax.attacks.sparse_rs import SparseRS as sparse_rs
from robust_iqa_jax.attacks.square import MultiSquare as multi_square
from robust_iqa_jax.attacks.square import Square as square
from robust_iqa_jax.attacks.stadv import StAdv as stadv
from robust_iqa_jax.attacks.suite import AttackSuite as suite
from robust_iqa_jax.attacks.transfer import Transfer as transfer
from robust_iqa_jax.attacks.uap import UAP as uap
from robust_iqa_jax.attacks.uap_generator import GenerativeUAP as generative_uap

if TYPE_CHECKING:
    from robust_iqa_jax.evaluation.masking import gradient_masking

__all__ = [
    "amifgsm",
    "apgd",
    "carlini_wagner",
    "color_curves",
    "eot",
    "facpa",
    "fgsm",
    "fmn",
    "gamma_unsharp",
    "gaussian_noise",
    "generative_uap",
    "gradient_masking",
    "ifgsm",
    "ioi",
    "jpeg",
    "korhonen",
    "madc",
    "mifgsm",
    "multi_square",
    "nes",
    "patch_rs",
    "perceptual",
    "pgd",
    "quantise",
    "sparse_rs",
    "square",
    "stadv",
    "suite",
    "transfer",
    "uap",
    "uniform_noise",
]

for _name in __all__:
    if _module := sys.modules.get(f"{__name__}.{_name}"):
        globals()[_name] = make_callable(_module, globals()[_name])


def __getattr__(name: str) -> Any:
    """gradient_masking, a diagnostic of evaluation that is public here, imported when it is asked for."""
    if name != "gradient_masking":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from robust_iqa_jax.attacks import masking

    return masking.gradient_masking
