"""Distillation: what a step trains on lies between people's scores of a photo and a teacher's score of the crop itself.
Hinton et al. 2015 (arXiv 1503.02531), with a score in place of class probabilities."""

from dataclasses import dataclass, replace

from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.models.scorer import Scorer


@dataclass(frozen=True)
class DistillationConfig:
    """Whose scores a run learns beside people's, and how much they count.

    People rated whole photos: the label of a crop is a guess, which a teacher that was trained on such crops makes
    better. Its scores are of the clean pixels, on the scale of the labels.

    Raises:
      ValueError: a share outside [0, 1].
    """

    teacher: str = "accurate-lite0"
    """Checkpoint or name of a shipped model, calibrated to the scale of the run's labels."""
    share: float = 0.5
    """The teacher's share of the label; people have the rest."""

    def __post_init__(self) -> None:
        """Check the settings."""
        if not 0 <= self.share <= 1:
            raise ValueError(f"distillation: share must lie between 0 and 1, got {self.share}")


def taught_labels(teacher: Scorer, share: float, pixels: Images, labels: Float[Array, " n"]) -> Float[Array, " n"]:
    """(1 - share) labels + share * the teacher's scores of the pixels, which are read at the size that they have.

    Args:
      teacher: any model that reads photos of this size.
      share: of the teacher, in [0, 1].
      pixels: (n, h, w, 3) in [0,1].
      labels: people's scores.
    """
    of_this_size = replace(teacher, spec=replace(teacher.spec, input_size=pixels.shape[1:3]))
    return (1 - share) * labels + share * of_this_size(pixels)
