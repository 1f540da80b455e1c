"""A gallery for notebooks: each photo before and after an attack, and what the attack added, side by side.
Source: this project; the change as in reports (evaluation.pictures)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from robust_iqa_jax.checks import checked_images, checked_scores
from robust_iqa_jax.evaluation.pictures import difference_picture
from robust_iqa_jax.extras import require

if TYPE_CHECKING:
    from robust_iqa_jax.report.plots import NotebookFigure

WIDTH = 2.9
"""Of a picture, in inches."""


def gallery(
    clean: Float[Any, "n h w c"],
    adversarial: Float[Any, "n h w c"],
    scores: tuple[Any, Any] | None = None,
) -> "NotebookFigure":
    """One line a photo: original, attacked, and the change times the gain that its title names, on grey.

    Args:
      clean: float (n, h, w, c) in [0,1], c 1 or 3.
      adversarial: the same photos after an attack.
      scores: (n,) of `clean` and (n,) of `adversarial`, written above the pictures.

    Raises:
      MissingExtra: matplotlib is not installed.
      ValueError: images of different shapes, none, or of 2 channels or more than 3; scores of another number.
    """
    require("gallery", "matplotlib")
    from robust_iqa_jax.report.plots import NotebookFigure

    before = np.asarray(checked_images(clean, "gallery"), np.float64)
    after = np.asarray(checked_images(adversarial, "gallery"), np.float64)
    if before.shape != after.shape or not before.size or before.shape[-1] not in (1, 3):
        raise ValueError(
            "gallery: the same photos before and after an attack, grey or RGB, expected; "
            f"got shapes {before.shape} and {after.shape}"
        )
    known = None
    if scores is not None:
        if not (isinstance(scores, (tuple, list)) and len(scores) == 2):
            raise ValueError("gallery: scores are a pair, those of the clean photos and those of the attacked ones")
        known = [np.asarray(checked_scores(np.asarray(each), len(before), "gallery")) for each in scores]
    tall = before.shape[1] / before.shape[2]
    size = (3 * WIDTH, len(before) * (WIDTH * tall + 0.45))
    figure = NotebookFigure(figsize=size, dpi=110, layout="constrained")
    for i, axes in enumerate(figure.subplots(len(before), 3, squeeze=False)):
        change, gain = difference_picture(255 * (after[i] - before[i]))
        texts = ["original", "attacked", f"change x {gain}"]
        if known is not None:
            first, second = (each[i] for each in known)
            texts = [f"original {first:.4g}", f"attacked {second:.4g}", f"{second - first:+.3g}; change x {gain}"]
        for place, picture, text in zip(axes, (before[i], after[i], change / 255), texts, strict=True):
            place.imshow(np.broadcast_to(picture, (*picture.shape[:2], 3)))
            place.set_title(text, fontsize=10)
            place.set_axis_off()
    return figure
