"""One photo under one attack: its score before, after, and as the 8-bit picture that the attack is written as.
Source: this project."""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.data.images import to_float


@dataclass(frozen=True, eq=False)
class AttackedPhoto:
    """Attributes:
    pixels: the adversarial photo, rounded to 8 bits.
    change: what the attack and the rounding added, in grey levels.
    clean, attacked, attacked_8bit: scores of the photo, of the adversarial one, of `pixels`.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    change: Float[np.ndarray, "h w 3"]
    clean: float
    attacked: float
    attacked_8bit: float


def attack_photo(
    attack: Attack,
    score: Callable[[Float[Array, "n h w 3"]], Float[Array, " n"]],
    key: Array,
    photo: Float[np.ndarray, "h w 3"],
) -> AttackedPhoto:
    """Attack one photo.

    Args:
      attack: any of them.
      score: images in [0,1] -> scores.
      key: of this photo, as `attacks.arguments.example_keys` gives it.
      photo: in [0,1], of any size that `score` takes.
    """
    clean = jnp.asarray(photo)[None]
    adversarial = attack(score, key[None], clean)
    pixels = np.round(np.asarray(adversarial[0]) * 255).astype(np.uint8)
    return AttackedPhoto(
        pixels=pixels,
        change=pixels - 255 * photo,
        clean=float(score(clean)[0]),
        attacked=float(score(adversarial)[0]),
        attacked_8bit=float(score(jnp.asarray(to_float(pixels))[None])[0]),
    )
