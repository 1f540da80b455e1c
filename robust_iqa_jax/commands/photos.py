"""What commands say of the photos that they opened."""

from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.labels import label_note


def described(photos: PhotoSet) -> str:
    """How many photos, and what their labels are."""
    what = "labels by a formula, not people (pseudo_mos)" if label_note(photos.label) else f"labels: {photos.label}"
    return f"{len(photos)} photos, {what}" + (f"; {photos.note}" if photos.note else "")
