"""Space to depth: every 2 x 2 patch of a map becomes the channels of one pixel, an isometry that halves the map.
How the Cayley layers of Trockman & Kolter (arXiv 2104.07167) make a stride of 2 from a convolution of stride 1."""

from jaxtyping import Array, Float


def space_to_depth(x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c4"]:
    """(n, h, w, c) -> (n, h/2, w/2, 4c), channels ordered by channel, then row, then column of the patch.

    Raises:
      ValueError: odd height or width.
    """
    n, h, w, c = x.shape
    if h % 2 or w % 2:
        raise ValueError(f"stride 2 needs maps of even height and width, got {h} x {w}")
    patches = x.reshape(n, h // 2, 2, w // 2, 2, c)
    return patches.transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, 4 * c)
