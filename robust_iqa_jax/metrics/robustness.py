"""How far an attack moves scores: gains, R-Score and their area over attack sizes, each on a named scale.
Sources: arXiv 2506.04951 and its code, MSU's robustness benchmark (docs/sources.md 5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from robust_iqa_jax.metrics.scores import Scores, checked_scores

RScoreForm = Literal["msu", "a-kon", "a-db"]
RelativeGainForm = Literal["scaled", "classic"]


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


def gains(clean: Scores, attacked: Scores, scale: Scale) -> Scores:
    """(n,) changes of the score on a scale, signed: what AbsGain is the mean of."""
    clean, attacked = checked_scores("gain", clean=clean, attacked=attacked)
    return scale(attacked) - scale(clean)


def furthest_scores(clean: Scores, *attacked: Scores) -> Scores:
    """(n,) scores of images that each meet the attack that moves them furthest, up or down: what a worst-case SROCC is
    taken of. The first of equally strong attacks counts.

    Args:
      clean: (n,) scores.
      attacked: (n,) scores under each attack, in the same order of images.

    Raises:
      ValueError: no attack, other lengths, scores that are not finite.
    """
    if not attacked:
        raise ValueError("furthest_scores: the scores under one attack or more expected, got none")
    named: dict[str, Any] = {"clean": clean} | {f"attacked {i}": scores for i, scores in enumerate(attacked, 1)}
    clean, *under = checked_scores("furthest_scores", **named)
    stacked = np.stack(under)
    return stacked[np.abs(stacked - clean).argmax(0), np.arange(len(clean))]


def abs_gain(clean: Scores, attacked: Scores, scale: Scale) -> float:
    """AbsGain: mean of (attacked - clean) on a scale. Signed, in spite of its name; 0 is a perfect defence."""
    return float(np.mean(gains(clean, attacked, scale)))


def relative_gains(clean: Scores, attacked: Scores, scale: Scale, form: RelativeGainForm = "scaled") -> Scores:
    """(n,) changes of the score as a fraction of the clean score.

    Args:
      clean, attacked: (n,) scores.
      scale: range; s~ is the clean and s~' the attacked score on it.
      form: "scaled": (s~' - s~) / (s~ + 1), MSU's normalised relative gain and A-Kon's. "classic": (s~' - s~) /
        (s~ + 1e-6), which MSU takes of raw points (RAW); it changes its sign with the clean score's.

    Raises:
      ValueError: unknown form, or a scaled clean score of -1 or less in the form "scaled".
    """
    change, s = gains(clean, attacked, scale), scale(clean)
    if form == "classic":
        return change / (s + 1e-6)
    if form == "scaled":
        if s.min() <= -1:
            raise ValueError(
                f"relative_gain scaled: a clean score lies at {s.min():g} on the {scale.name} range, where this form "
                "is undefined; scale by the model's own range"
            )
        return change / (s + 1)
    raise ValueError(f"relative_gain: unknown form {form!r}; choose one of {', '.join(get_args(RelativeGainForm))}")


def relative_gain(clean: Scores, attacked: Scores, scale: Scale, form: RelativeGainForm = "scaled") -> float:
    """Mean of `relative_gains`."""
    return float(np.mean(relative_gains(clean, attacked, scale, form)))


def r_scores(clean: Scores, attacked: Scores, scale: Scale, form: RScoreForm = "msu") -> Scores:
    """(n,) log10 of the largest possible change over the change that the attack achieved; higher is better.

    Args:
      clean, attacked: (n,) scores.
      scale: range; the forms differ in what they take as the largest possible change from s~ to s~' on it.
      form: "msu": max(1 - s~, s~) / (|s~ - s~'| + 1e-6). The 1e-6 makes an image that no attack moves count about 6.
        "a-kon" (the authors' KonCept branch): max(max s~' - s~', s~ - min s~) / |s~' - s~|.
        "a-db" (their DBCNN notebook): max(max s~ - s~', s~ - min s~) / |s~' - s~|.
        Extremes are over the images; both of the authors' forms leave images that are not moved undefined, and those
        whose largest possible change is zero, such as in "a-db" the one with the least clean score, pushed above all.

    Raises:
      ValueError: unknown form, or an image for which the form is undefined.
    """
    change, s = np.abs(gains(clean, attacked, scale)), scale(clean)
    if form == "msu":
        return np.log10(np.maximum(1 - s, s) / (change + 1e-6))
    if form not in get_args(RScoreForm):
        raise ValueError(f"r_score: unknown form {form!r}; choose one of {', '.join(get_args(RScoreForm))}")
    moved = scale(attacked)
    largest = np.maximum((moved if form == "a-kon" else s).max() - moved, s - s.min())
    for undefined, what in ((change == 0, "kept its score"), (largest <= 0, "could not have moved at all")):
        if undefined.any():
            raise ValueError(f"r_score {form}: an image {what}, for which this form is undefined; use form='msu'")
    return np.log10(largest / change)


def r_score(clean: Scores, attacked: Scores, scale: Scale, form: RScoreForm = "msu") -> float:
    """R-Score: mean of `r_scores`."""
    return float(np.mean(r_scores(clean, attacked, scale, form)))


@dataclass(frozen=True)
class AreaOverEps:
    """Area under a measure over attack sizes, with the grid that it was taken on.

    Attributes:
      value: the area, trapezoids; in the measure's unit times [0,1] pixels.
      eps: sizes in [0,1] pixels, increasing.
      spacing: between neighbours, None where it varies (by more than 1 %).
    """

    value: float
    eps: tuple[float, ...]
    spacing: float | None

    @property
    def mean(self) -> float:
        """The area divided by the span of the grid: the measure's mean over sizes, in its own unit."""
        return self.value / (self.eps[-1] - self.eps[0])


def auc_over_eps(eps: Sequence[float], values: Sequence[float]) -> AreaOverEps:
    """Area under a measure over attack sizes: trapezoids, the sizes in [0,1] pixels (docs/sources.md 5, AbsGainAUC).

    Raises:
      ValueError: fewer than two sizes, or sizes that do not increase.
    """
    x, y = np.asarray(eps, np.float64), np.asarray(values, np.float64)
    if len(x) < 2 or len(x) != len(y) or not (np.diff(x) > 0).all():
        raise ValueError(f"auc_over_eps: two or more increasing sizes with one value each expected, got {list(eps)}")
    steps = np.diff(x)
    even = np.ptp(steps) <= 0.01 * steps.mean()
    return AreaOverEps(float(np.trapezoid(y, x)), tuple(map(float, x)), float(steps.mean()) if even else None)


def ir_score(clean: Scores, attacked: Mapping[float, Scores], scale: Scale, form: RScoreForm = "msu") -> AreaOverEps:
    """IR-Score: the integral of the R-Score over perturbation magnitudes; higher is better.

    The adversarial-training paper (Chistyakova et al. 2024, Technologies 12(11), 220) names the integral; neither its
    abstract nor its code gives the formula. Here it is the trapezoidal area of R-Score over eps (`value`); `mean`
    divides it by the span of the grid, which puts grids of different spans on one footing.

    Args:
      clean: (n,) scores.
      attacked: eps in [0,1] pixels -> (n,) scores under attack.
      scale, form: of the R-Score.

    Raises:
      ValueError: fewer than two sizes, and as `r_scores`.
    """
    sizes = sorted(attacked)
    return auc_over_eps(sizes, [r_score(clean, attacked[eps], scale, form) for eps in sizes])
