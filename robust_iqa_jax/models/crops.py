"""Windows of an image on a regular grid, in place of the random crops of TReS, HyperIQA and MANIQA.
Sources: isalirezag/TReS, SSL92/hyperIQA, IIGROUP/MANIQA (numbers and sides); the grid is ours."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.models.spec import CropSpec


def crop_grid(images: Float[Array, "n h w c"], crops: CropSpec) -> Float[Array, "n*k s s c"]:
    """The rows x columns windows of every image, evenly spaced from edge to edge, those of one image together.

    Raises:
      ValueError: images smaller than a window.
    """
    n, h, w, c = images.shape
    if min(h, w) < crops.side:
        raise ValueError(f"crops of {crops.side} pixels do not fit into images of {h} x {w}")
    tops, lefts = _starts(h, crops.side, crops.rows), _starts(w, crops.side, crops.columns)
    windows = [images[:, top : top + crops.side, left : left + crops.side] for top in tops for left in lefts]
    return jnp.stack(windows, axis=1).reshape(n * len(windows), crops.side, crops.side, c)


def central(images: Float[Array, "n h w c"], crops: CropSpec | None) -> Float[Array, "n h2 w2 c"]:
    """The window in the middle of every image; the images themselves where the model reads no windows."""
    return images if crops is None else crop_grid(images, dataclasses.replace(crops, rows=1, columns=1))


def _starts(length: int, side: int, count: int) -> list[int]:
    if count == 1:
        return [(length - side) // 2]
    return np.round(np.linspace(0, length - side, count)).astype(int).tolist()
