"""How much of a defended model's gain under attack is its narrower range of clean scores rather than robustness.
Ours; the effect in the authors' results is computed in docs/sources.md 5 ("range compression warning")."""

from dataclasses import dataclass
from typing import Literal

from robust_iqa_jax.metrics.robustness import Scale, abs_gain
from robust_iqa_jax.metrics.scores import Scores

Verdict = Literal["survives", "range compression", "range widening", "no reduction"]


@dataclass(frozen=True)
class RangeCompression:
    """A defended model (1) against its undefended baseline (0) under one attack. With D the mean change of the score in
    points and R the range of the clean scores, the gains are G0 = D0 / R0, G1_own = D1 / R1, G1_base = D1 / R0.

    A rescaled copy of the baseline, c s + d, has G1_own = G0 and G1_base = c G0: on the baseline range any model
    "improves" by printing smaller numbers; on its own range none does.

    Attributes:
      range_ratio: R1 / R0; below 1 for a compressed range.
      baseline_gain: G0.
      own_gain: G1_own.
      baseline_range_gain: G1_base.
    """

    range_ratio: float
    baseline_gain: float
    own_gain: float
    baseline_range_gain: float

    @property
    def share_of_own_gain(self) -> float:
        """1 - G1_base / G1_own = 1 - R1 / R0: the part of the own-range gain that comes of dividing by the narrower
        range; the same for every attack, negative for a range that widened."""
        return 1 - self.range_ratio

    @property
    def share_of_reduction(self) -> float | None:
        """(|G1_own| - |G1_base|) / (|G0| - |G1_base|): the part of the reduction on the baseline range that a rescaling
        alone gives.

        Above 1 where on its own range the model is less robust than the baseline, negative for a range that widened,
        None where nothing is reduced on the baseline range. Magnitudes, because gains have signs and 0 is a perfect
        defence.
        """
        reduction = abs(self.baseline_gain) - abs(self.baseline_range_gain)
        return (abs(self.own_gain) - abs(self.baseline_range_gain)) / reduction if reduction > 0 else None

    @property
    def verdict(self) -> Verdict:
        """Where |gain| is below the baseline's: "survives": on both ranges; "range compression": on the baseline's
        only; "range widening": on its own only; "no reduction": on neither."""
        on_baseline = abs(self.baseline_range_gain) < abs(self.baseline_gain)
        on_own = abs(self.own_gain) < abs(self.baseline_gain)
        if on_baseline:
            return "survives" if on_own else "range compression"
        return "range widening" if on_own else "no reduction"


def range_compression(
    clean: Scores, attacked: Scores, baseline_clean: Scores, baseline_attacked: Scores
) -> RangeCompression:
    """Compare a defended model with its baseline under the same attack on the same images.

    Args:
      clean, attacked: (n,) scores of the defended model.
      baseline_clean, baseline_attacked: (n,) scores of the undefended one.

    Raises:
      ValueError: lengths that differ, scores that are not finite, a model whose clean scores are all equal.
    """
    own, baseline = Scale.of(clean, "own"), Scale.of(baseline_clean, "baseline")
    return RangeCompression(
        (own.high - own.low) / (baseline.high - baseline.low),
        abs_gain(baseline_clean, baseline_attacked, baseline),
        abs_gain(clean, attacked, own),
        abs_gain(clean, attacked, baseline),
    )
