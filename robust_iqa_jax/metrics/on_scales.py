"""The measures of one model under one attack, each on the ranges on which it says something.
Names as in report rows: plain on the model's own range, _baseline_range on the baseline's, _raw in score points."""

from robust_iqa_jax.metrics.distributions import energy_distance, wasserstein
from robust_iqa_jax.metrics.ranks import rank_inversion_rate
from robust_iqa_jax.metrics.robustness import RAW, Scale, abs_gain, r_score, relative_gain
from robust_iqa_jax.metrics.scores import Scores


def on_scales(clean: Scores, attacked: Scores, own: Scale, baseline: Scale) -> dict[str, float]:
    """Measure name -> value.

    R-Score has no form in raw points (it needs the ends of a range), relative gain none on a range that the clean
    scores may lie far outside of, and ranks know no scale.

    Args:
      clean, attacked: (n,) scores of one model under one attack.
      own: the model's own range.
      baseline: the undefended model's.
    """
    pair = (clean, attacked)
    return {
        "abs_gain": abs_gain(*pair, own),
        "abs_gain_baseline_range": abs_gain(*pair, baseline),
        "abs_gain_raw": abs_gain(*pair, RAW),
        "relative_gain": relative_gain(*pair, own),
        "rscore": r_score(*pair, own),
        "rscore_baseline_range": r_score(*pair, baseline),
        "wasserstein": wasserstein(*pair, own),
        "wasserstein_baseline_range": wasserstein(*pair, baseline),
        "wasserstein_raw": wasserstein(*pair, RAW),
        "energy_distance": energy_distance(*pair, own),
        "energy_distance_baseline_range": energy_distance(*pair, baseline),
        "energy_distance_raw": energy_distance(*pair, RAW),
        "rank_inversion_rate": rank_inversion_rate(*pair),
    }
