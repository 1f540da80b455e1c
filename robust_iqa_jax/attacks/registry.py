"""All attacks by name, for the command, tables and tests: adding one is adding a line.
Each line's default eps is the one of its source where that has one, else 4/255."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from robust_iqa_jax.attacks.apgd import APGD
from robust_iqa_jax.attacks.callable_module import AttackModule
from robust_iqa_jax.attacks.carlini_wagner import CarliniWagner
from robust_iqa_jax.attacks.color_curves import ColorCurves
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.facpa import FACPA
from robust_iqa_jax.attacks.fitting import Fitting
from robust_iqa_jax.attacks.fmn import FMN
from robust_iqa_jax.attacks.gamma_unsharp import GammaUnsharp
from robust_iqa_jax.attacks.gradient import AMIFGSM, FGSM, IFGSM, MIFGSM, PGD
from robust_iqa_jax.attacks.ioi import IOI
from robust_iqa_jax.attacks.jpeg import JPEG
from robust_iqa_jax.attacks.korhonen import Korhonen
from robust_iqa_jax.attacks.madc import MADC
from robust_iqa_jax.attacks.nes import NES
from robust_iqa_jax.attacks.noise import GaussianNoise, UniformNoise
from robust_iqa_jax.attacks.patch_rs import PatchRS
from robust_iqa_jax.attacks.perceptual import Perceptual
from robust_iqa_jax.attacks.quantise import Quantise
from robust_iqa_jax.attacks.sparse_rs import SparseRS
from robust_iqa_jax.attacks.square import MultiSquare, Square
from robust_iqa_jax.attacks.stadv import StAdv
from robust_iqa_jax.attacks.suite import AttackSuite
from robust_iqa_jax.attacks.uap import UAP
from robust_iqa_jax.attacks.uap_generator import GenerativeUAP
from robust_iqa_jax.checks import unknown
from robust_iqa_jax.wording import hyphenated


@dataclass(frozen=True)
class Entry:
    """One attack of the registry.

    Attributes:
      make: its class, or a partial of it; called with settings by keyword.
      eps: default, in [0,1] units; None where there is no ball.
      description: one line.
    """

    make: Callable[..., Any]
    eps: float | None
    description: str

    @property
    def fitted(self) -> bool:
        """Whether it is fitted on images first (`fit`), and only then an attack."""
        return hasattr(_unwrapped(self.make), "fit")

    @property
    def settings(self) -> dict[str, Any]:
        """Names and defaults of the settings that are numbers, names or switches."""
        preset = self.make.keywords if isinstance(self.make, partial) else {}
        settings = {
            name: parameter.default
            for name, parameter in inspect.signature(self.make).parameters.items()
            if name not in preset and isinstance(parameter.default, (int, float, str, type(None)))
        }
        return {**settings, "eps": self.eps} if self.eps is not None else settings


ATTACKS: dict[str, Entry] = {
    "fgsm": Entry(FGSM, 10 / 255, "one step along the gradient's signs"),
    "i-fgsm": Entry(IFGSM, 10 / 255, "small steps from the clean image"),
    "mi-fgsm": Entry(MIFGSM, 10 / 255, "small steps along accumulated gradients"),
    "ami-fgsm": Entry(AMIFGSM, 10 / 255, "steps with momentum that add up to eps"),
    "pgd": Entry(PGD, 4 / 255, "projected steepest ascent from random starts"),
    "apgd": Entry(APGD, 4 / 255, "ascent with momentum and steps that halve by themselves"),
    "suite": Entry(AttackSuite, 4 / 255, "the strongest of PGD, APGD, MI-FGSM and Square, image by image"),
    "carlini-wagner": Entry(CarliniWagner, None, "the smallest l2 change that gains given score points"),
    "fmn": Entry(FMN, None, "the same in l2 or linf, inside a ball that shrinks and grows; one gradient a step"),
    "uap": Entry(UAP, 10 / 255, "one perturbation for all images, fitted by Adam"),
    "uap-cumulative": Entry(partial(UAP, update="gradient"), 10 / 255, "the same, fitted by plain gradient steps"),
    "uap-generative": Entry(GenerativeUAP, 10 / 255, "the same, drawn by a fitted generator"),
    "facpa": Entry(FACPA, 10 / 255, "a perturbation for each image, drawn by a fitted network in one pass"),
    "stadv": Entry(StAdv, None, "a smooth flow of the pixels"),
    "ioi": Entry(IOI, None, "one step along the gradient's signs, where texture and faint frequencies hide it"),
    "korhonen": Entry(Korhonen, None, "Adam on pixels, where the image is busy"),
    "perceptual": Entry(Perceptual, None, "Adam on pixels within a perceptual distance"),
    "madc": Entry(MADC, None, "steps that keep the mean square error"),
    "color-curves": Entry(ColorCurves, None, "a tone curve for each channel"),
    "square": Entry(Square, 4 / 255, "random search with squares; scores only, no gradients"),
    "multi-square": Entry(MultiSquare, 3 / 255, "the same with two squares at a time, towards the scale's other end"),
    "sparse-rs": Entry(SparseRS, None, "random search over few pixels; scores only, no gradients"),
    "patch-rs": Entry(PatchRS, None, "random search for one small patch; scores only, no gradients"),
    "gamma-unsharp": Entry(
        GammaUnsharp, None, "a tone curve and an unsharp mask, by evolution; scores only, no gradients"
    ),
    "nes": Entry(NES, 4 / 255, "PGD on gradients estimated from scores"),
    "gaussian-noise": Entry(GaussianNoise, 4 / 255, "control: white noise of an attack's size"),
    "uniform-noise": Entry(UniformNoise, 4 / 255, "control: noise uniform in an attack's ball"),
    "jpeg": Entry(JPEG, None, "control: compression"),
    "quantise": Entry(Quantise, None, "control: rounding to 8 bits"),
}


def entry(name: str) -> Entry:
    """The registry's line of an attack, "mifgsm" for "mi-fgsm" included.

    Raises:
      ValueError: an unknown name; the message lists all.
    """
    known = hyphenated(str(name))
    if known not in ATTACKS:
        raise ValueError(f"attack: {unknown('attack', str(name), ATTACKS)}")
    return ATTACKS[known]


def make(name: str, **settings: Any) -> Any:
    """A configured attack by name, at its default eps unless given.

    Args:
      name: key of ATTACKS, or "mifgsm" and the like.
      settings: fields of its class.

    Returns:
      an Attack; for a fitted one its configuration, whose `fit` gives the Attack.

    Raises:
      ValueError: an unknown name or setting, with those that exist; whatever the attack refuses.
    """
    line = entry(name)
    default = {} if line.eps is None else {"eps": line.eps}
    allowed = inspect.signature(line.make).parameters
    for setting in settings:
        if setting not in allowed:
            raise ValueError(f"attack: {name} has no setting {setting!r}; it has {', '.join(allowed) or 'none'}")
    return line.make(**{**default, **settings})


def as_attacks(given: Any) -> list[Attack]:
    """Attacks from what people give for them: one or several of an attack, its class or module, its name in ATTACKS.

    Equal ones count once.

    Raises:
      ValueError: something else, an unknown name, an attack that has to be fitted first, or two that differ but are
        the same by name and eps.
    """
    several = given if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    attacks: dict[tuple[str, float | None], Attack] = {}
    for one in several:
        attack: Any = one
        if isinstance(one, str):
            attack = make(one)
        elif isinstance(one, AttackModule):
            attack = one.attack()
        elif isinstance(one, type) and _is_attack(one):
            attack = one()
        if not _is_attack(type(attack)):
            raise ValueError(f"attack: an attack, or its name such as 'pgd', expected, got {one!r:.60}")
        if hasattr(attack, "fit"):
            raise ValueError(
                f"attack: {attack.label} is fitted on other images first: give its .fit(scorer, key, other_images)"
            )
        kind = attack.name, None if attack.eps is None else float(attack.eps)
        if attacks.setdefault(kind, attack) != attack:
            raise ValueError(f"attack: two attacks called {attack.name} with eps {attack.eps}; evaluate each alone")
    return list(attacks.values())


def _is_attack(kind: type) -> bool:
    return issubclass(kind, (Attack, Fitting))


def _unwrapped(make: Callable[..., Any]) -> Any:
    return make.func if isinstance(make, partial) else make
