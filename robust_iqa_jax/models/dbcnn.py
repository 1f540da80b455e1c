"""DBCNN: bilinear pooling of VGG-16's last convolution with SCNN's, and one linear layer.
Sources: arXiv 1907.02665; zwx8981/DBCNN-PyTorch, DBCNN.py; RobustBlocks as in A-DB (docs/sources.md 1.5, 2.4)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from robust_iqa_jax.backbones import scnn, vgg
from robust_iqa_jax.functional.map_resize import resize_aligned
from robust_iqa_jax.layers.initializers import kaiming_fan_in

MEAN, STD = vgg.MEAN, vgg.STD
"""Of the input normalisation (x - MEAN) / STD, in units of [0, 1] pixels; both branches read the same image."""
INPUT_SIZE = (384, 512)
"""(height, width) of the KonIQ-10k photos that IQA-PyTorch's weights are made for. The network takes any size: the
release tests LIVE and CLIVE photos as they are, A-DB KonIQ-10k at 768 x 1024."""

BLOCK_POINTS = tuple(point for point in vgg.INSERTION_POINTS if point != "pool5")
"""Where a block can be put in VGG-16, whose last pooling is not run. A-DB: 512 -> 200 -> 512 at conv5_2 or pool4."""
SCNN_BLOCK_POINTS = scnn.INSERTION_POINTS
"""Where a block can be put in SCNN. A-DB: 128 -> 100 -> 128 at conv8 or 64 -> 64 -> 64 at conv6."""


def bilinear_features(a: Float[Array, "n h w i"], b: Float[Array, "n h2 w2 j"]) -> Float[Array, "n i*j"]:
    """Every product of a channel of a with one of b, averaged over a's pixels; roots of these, of unit length.

    b is resized to a's height and width. The root is sqrt(|.| + 1e-8), whose absolute value is A-DB's: the release has
    none, and none is needed behind ReLUs, but a block at the end of a branch makes negative entries.

    Args:
      a: (n, h, w, i).
      b: (n, h2, w2, j).

    Returns:
      (n, i j), all products of a's first channel first.
    """
    b = resize_aligned(b, (a.shape[1], a.shape[2]))
    products = jnp.einsum("nhwi,nhwj->nij", a, b, precision=lax.Precision.HIGHEST) / (a.shape[1] * a.shape[2])
    roots = jnp.sqrt(jnp.abs(products) + 1e-8).reshape(a.shape[0], -1)
    return roots / jnp.linalg.norm(roots, axis=-1, keepdims=True)


class DBCNN(nn.Module):
    """Quality scores on the scale of the labels that the weights were fitted to.

    Parameters lie under `vgg`, `scnn`, `fc` and, where there are blocks, `block` and `scnn_block`.

    Attributes:
      block: module applied to VGG's map `block_at`, from which VGG goes on; None for the plain model.
      block_at: one of BLOCK_POINTS.
      scnn_block, scnn_block_at: likewise in SCNN, one of SCNN_BLOCK_POINTS.
      scnn_batch_norm: SCNN with batch normalisation, as published models have it.
      vgg_widths, scnn_widths: channels of the stages of VGG and of the convolutions of SCNN.
      bn_axis_name: mapped axis for cross-replica batch statistics.
    """

    block: nn.Module | None = None
    block_at: str = ""
    scnn_block: nn.Module | None = None
    scnn_block_at: str = ""
    scnn_batch_norm: bool = True
    vgg_widths: tuple[int, ...] = vgg.WIDTHS
    scnn_widths: tuple[int, ...] = scnn.WIDTHS
    bn_axis_name: str | None = None

    def setup(self) -> None:
        """Both branches and the linear layer; the blocks come as attributes."""
        self.vgg = vgg.VGG(self.vgg_widths)
        self.scnn = scnn.SCNN(self.scnn_widths, self.scnn_batch_norm, bn_axis_name=self.bn_axis_name)
        self.fc = nn.Dense(1, kernel_init=kaiming_fan_in)

    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n 1"]:
        """Normalised images (n, h, w, 3), sides of at least 32 -> scores (n, 1).

        Args:
          x: images.
          train: batch statistics (and their update) in place of running ones in SCNN; VGG-16 has none.

        Raises:
          ValueError: a block at an unknown point, or an input that is not (n, h, w, 3) with sides of at least 32.
        """
        return self.fc(bilinear_features(*self.maps(x, train=train)))

    def maps(
        self, x: Float[Array, "n h w c"], *, train: bool
    ) -> tuple[Float[Array, "n h2 w2 i"], Float[Array, "n h3 w3 j"]]:
        """The last maps of VGG-16 (conv5_3) and of SCNN (conv9), which may differ in size by a pixel or a block's."""
        if self.block is not None and self.block_at not in BLOCK_POINTS:
            raise ValueError(f"DBCNN: no block at {self.block_at!r} of VGG; choose one of {', '.join(BLOCK_POINTS)}")
        if self.scnn_block is not None and self.scnn_block_at not in SCNN_BLOCK_POINTS:
            choice = ", ".join(SCNN_BLOCK_POINTS)
            raise ValueError(f"DBCNN: no block at {self.scnn_block_at!r} of SCNN; choose one of {choice}")
        insert = {} if self.block is None else {self.block_at: self.block}
        scnn_insert = {} if self.scnn_block is None else {self.scnn_block_at: self.scnn_block}
        a = self.vgg(x, train=train, insert=insert)["conv5_3"]
        return a, self.scnn(x, train=train, insert=scnn_insert)["conv9"]
