"""Per-image scores as every metric takes them: float64, one dimension, finite, of one length."""

import numpy as np
from jaxtyping import Float

Scores = Float[np.ndarray, " n"]


def checked_scores(metric: str, *, least: int = 1, **named: Scores) -> tuple[Scores, ...]:
    """The named scores as float64, in the order given.

    Args:
      metric: name of the metric, for the message.
      least: fewest scores that the metric is defined for.
      named: what the scores are -> (n,) scores.

    Raises:
      ValueError: not one dimension, too few, NaN or infinity, unequal lengths.
    """
    checked = {name: np.asarray(values, np.float64) for name, values in named.items()}
    for name, values in checked.items():
        if values.ndim != 1 or len(values) < least:
            few = {1: "one", 2: "two"}.get(least, str(least))
            raise ValueError(f"{metric}: at least {few} {name} in one dimension expected, got shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"{metric}: {name} hold NaN or infinity")
    (first, one), *others = checked.items()
    for name, values in others:
        if len(values) != len(one):
            raise ValueError(f"{metric}: {len(one)} {first} for {len(values)} {name}")
    return tuple(checked.values())
