"""What no change of a photo can do to a score, in closed form and without a sample: of models that are Lipschitz by
construction (models.lipschitz), from their weights."""

import math
from typing import Literal

from robust_iqa_jax.functional.resize import largest_stretch
from robust_iqa_jax.models.lipschitz import RECORD, lipschitz_constant
from robust_iqa_jax.models.scorer import Scorer

ROUNDING = 1 + 1e-4
"""Room in every bound for what float32 leaves of 1 in the constants of the layers."""


def guaranteed_interval(
    scorer: Scorer, score: float, eps: float, norm: Literal["linf", "l2"], size: tuple[int, int]
) -> tuple[float, float]:
    """Lowest and highest score of what lies within eps of a photo of this score; see `guaranteed_change`."""
    change = guaranteed_change(scorer, eps, norm, size)
    return score - change, score + change


def guaranteed_change(
    scorer: Scorer, eps: float, norm: Literal["linf", "l2"] = "linf", size: tuple[int, int] | None = None
) -> float:
    """Score points that no change of a photo up to `eps` can exceed, up or down.

    l-infinity: resizing takes weighted means, so the resized photo changes by at most eps a pixel, and by at most
    sqrt(3 h w) eps in l2; over the head's sqrt(positions) that does not depend on the size. l2: times what resizing
    stretches.

    Args:
      scorer: of the architecture "lipschitz".
      eps: length of the change in its norm, in [0,1] pixels of the photo.
      norm: "linf" or "l2".
      size: (height, width) of the photo; None: the model's own.

    Raises:
      ValueError: a scorer of another architecture, an eps that is negative or not finite, an unknown norm.
    """
    if scorer.spec.architecture != RECORD.name:
        raise ValueError(f"guarantee: only {RECORD.title} has a closed form, not {scorer.spec.architecture}")
    if norm not in ("linf", "l2"):
        raise ValueError(f"guarantee: unknown norm {norm!r}; choose linf or l2")
    if not 0 <= eps < math.inf:
        raise ValueError(f"guarantee: eps must be finite and not negative, got {eps}")
    inside = scorer.spec.input_size
    if norm == "linf":
        length = eps * math.sqrt(3 * math.prod(inside))
    else:
        length = eps * math.prod(largest_stretch(n, m) for n, m in zip(size or inside, inside, strict=True))
    slope = abs(float(scorer.calibration.slope))
    return ROUNDING * slope * length * float(lipschitz_constant(scorer.variables["params"], inside))
