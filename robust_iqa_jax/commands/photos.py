"""Opens labelled photos for a command and checks, before any work, that what the command ends with can be computed."""

import numpy as np

from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.labels import label_note


def check_measurable(photos: PhotoSet, option: str) -> None:
    """Raise ValueError where no correlation with the photos' scores exists.

    Args:
      photos: that a model will be tested or validated on.
      option: that chose them.
    """
    if len(photos) < 2:
        raise ValueError(f"{option}: chooses {len(photos)} photo, and a correlation needs two or more; choose another")
    if np.ptp(photos.scores) == 0:
        raise ValueError(
            f"{option}: the {len(photos)} photos have equal scores, with which nothing correlates; choose another"
        )


def described(photos: PhotoSet) -> str:
    """How many photos, and what their labels are."""
    what = "labels by a formula, not people (pseudo_mos)" if label_note(photos.label) else f"labels: {photos.label}"
    return f"{len(photos)} photos, {what}"
