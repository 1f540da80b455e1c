"""How far an attack moves scores: AbsGain, R-Score and their area over attack sizes, each on a named scale.
Sources: arXiv 2506.04951 and its code, MSU's robustness benchmark (REFERENCE 5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

Scores = Float[np.ndarray, " n"]
RScoreForm = Literal["msu", "a-kon"]


@dataclass(frozen=True)
class Scale:
    """Scores are read as (s - low) / (high - low).

    Attributes:
      low, high: ends of the range.
      name: "own" (the model's clean scores), "baseline" (the undefended model's clean scores) or "raw" (points).
    """

    low: float
    high: float
    name: str

    @classmethod
    def of(cls, clean: Scores, name: str) -> "Scale":
        """Range of some clean scores.

        Raises:
          ValueError: they are all equal.
        """
        low, high = float(np.min(clean)), float(np.max(clean))
        if not low < high:
            raise ValueError(f"robustness: all clean scores equal {low:g}, they span no {name} range")
        return cls(low, high, name)

    def __call__(self, scores: Scores) -> Scores:
        """Scores on this scale."""
        return (np.asarray(scores, np.float64) - self.low) / (self.high - self.low)


RAW = Scale(0.0, 1.0, "raw")
"""Score points as they are."""


def abs_gain(clean: Scores, attacked: Scores, scale: Scale) -> float:
    """AbsGain: mean of (attacked - clean) on a scale. Signed, in spite of its name; 0 is a perfect defence."""
    return float(np.mean(scale(attacked) - scale(clean)))


def r_score(clean: Scores, attacked: Scores, scale: Scale, form: RScoreForm = "msu") -> float:
    """R-Score: mean log10 of the largest possible change over the change that the attack achieved; higher is better.

    Args:
      clean, attacked: (n,) scores.
      scale: range; the forms differ in what they take as the largest possible change.
      form: "msu": max(1 - s~, s~) / (|s~ - s~'| + 1e-6), of the clean score s~ on the scale. The 1e-6 makes an image
        that no attack moves count about 6. "a-kon": max(1 - s~', s~) / |s~' - s~| as in the authors' KonCept branch,
        where 1 stands for the largest attacked score: undefined (ValueError) for an unmoved image.

    Raises:
      ValueError: unknown form, or an unmoved image in the form "a-kon".
    """
    s, moved = scale(clean), scale(attacked)
    if form == "msu":
        return float(np.mean(np.log10(np.maximum(1 - s, s) / (np.abs(s - moved) + 1e-6))))
    if form == "a-kon":
        change = np.abs(moved - s)
        if not change.all():
            raise ValueError("r_score a-kon: an image kept its score, for which this form is undefined; use form='msu'")
        return float(np.mean(np.log10(np.maximum(moved.max() - moved, s) / change)))
    raise ValueError(f"r_score: unknown form {form!r}; choose 'msu' or 'a-kon'")


def auc_over_eps(eps: Sequence[float], values: Sequence[float]) -> float:
    """Area under a measure over attack sizes: trapezoids, the sizes in [0,1] pixels (REFERENCE 5, AbsGainAUC).

    Raises:
      ValueError: fewer than two sizes, or sizes that do not increase.
    """
    x, y = np.asarray(eps, np.float64), np.asarray(values, np.float64)
    if len(x) < 2 or len(x) != len(y) or not (np.diff(x) > 0).all():
        raise ValueError(f"auc_over_eps: two or more increasing sizes with one value each expected, got {list(eps)}")
    return float(np.trapezoid(y, x))
