"""What makes the score of a photo mean little: too few pixels, a great enlargement, no content, several pictures.
Source: this project; models are trained on photos of 224 to 1024 pixels, and none on enlargements by 8."""

from robust_iqa_jax.data.images import Picture

SMALLEST_SIDE = 32
"""Pixels; the deepest maps of the backbones see windows of 32 pixels."""
MOST_ENLARGED = 8
"""Times."""


def note_on(picture: Picture, size: tuple[int, int]) -> str | None:
    """What a reader of the photo's score should know, in one line; None for an ordinary photo.

    Args:
      picture: as decoded.
      size: (height, width) that the model resizes it to.
    """
    height, width = picture.pixels.shape[:2]
    enlarged = max(size[0] / height, size[1] / width)
    notes = []
    if min(height, width) < SMALLEST_SIDE:
        notes.append(f"only {width} x {height} pixels, below {SMALLEST_SIDE} on a side there is too little to judge")
    elif enlarged > MOST_ENLARGED:
        notes.append(f"{width} x {height} pixels are enlarged {enlarged:.0f} times, which is what the score is of")
    if (picture.pixels == picture.pixels[0, 0]).all():
        notes.append("one colour throughout, so there is nothing to judge")
    if picture.more:
        notes.append("the file holds several pictures (animation or pages), the first is scored")
    return "; ".join(notes) or None
