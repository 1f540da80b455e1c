"""KonCept512: Inception-ResNet-v2, global average pooling, four dense layers to a mean opinion score.
Sources: arXiv 1910.06180, subpic/koniq; ZhengyuZhao/koniq-PyTorch (tensor names); arXiv 2506.04951 (block)."""

import flax.linen as nn
from jaxtyping import Array, Float

from robust_iqa_jax.backbones import inception_resnet_v2
from robust_iqa_jax.backbones.inception_resnet_v2 import BLOCKS, InceptionResNetV2
from robust_iqa_jax.layers.batch_norm import BatchNorm
from robust_iqa_jax.layers.dense import Dense

MEAN, STD = inception_resnet_v2.MEAN, inception_resnet_v2.STD
INPUT_SIZE = (384, 512)
"""Height and width of the images of KonIQ-10k that it was trained on."""
WIDTHS = (2048, 1024, 256)
"""Hidden layers of the head."""
DROPOUT = (0.25, 0.25, 0.5)
"""Rates behind the hidden layers."""
BLOCK_AT = "block8"
"""Where arXiv 2506.04951 puts its RobustBlock: 2080 channels, between the last block and the last convolution."""
BLOCK_MID_CHANNELS = 1040
"""Channels inside that RobustBlock; its maps are pooled to a square, conv_in has no padding."""


class KonCeptHead(nn.Module):
    """Pooled features -> score: dense layer, ReLU, batch normalisation, dropout, three times; a dense layer.

    Submodules: dense0, bn0, ..., bn2, dense3.

    Attributes:
      dropout: rates behind the hidden layers; rng 'dropout'.
      bn_axis_name: mapped axis over which batch statistics are averaged, None for one device.
    """

    dropout: tuple[float, float, float] = DROPOUT
    bn_axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n f"], *, train: bool) -> Float[Array, "n 1"]:
        """Apply the head."""
        for i, (width, rate) in enumerate(zip((*WIDTHS, 1), (*self.dropout, None), strict=True)):
            x = Dense(width, name=f"dense{i}")(x)
            if rate is not None:
                x = BatchNorm(axis_name=self.bn_axis_name, name=f"bn{i}")(nn.relu(x), train)
                x = nn.Dropout(rate, deterministic=not train)(x)
        return x


class KonCept512(nn.Module):
    """Normalised images -> scores on the scale of the training labels (KonIQ-10k: MOS of 1 to 100, higher is better).

    Parameters lie under `backbone`, `block` (where there is one) and `head`.

    Attributes:
      blocks: of the backbone; the published model has BLOCKS.
      block: module applied to the map `block_at`, from which the backbone goes on; None for the plain model.
      block_at: a name in backbones.inception_resnet_v2.INSERTION_POINTS; BLOCK_AT in arXiv 2506.04951.
      pool_window: None averages the whole last map: the paper, its Keras model, the code of arXiv 2506.04951. A number
        averages its leading rows and columns only, as many as windows of that side fill: koniq-PyTorch has 8, with
        which it sees the top left 8 x 8 pixels of the 10 x 14 at INPUT_SIZE, and so its weights were trained.
      dropout: rates behind the hidden layers of the head; zeros switch it off.
      bn_axis_name: mapped axis for cross-replica batch statistics.
    """

    blocks: tuple[int, int, int] = BLOCKS
    block: nn.Module | None = None
    block_at: str = ""
    pool_window: int | None = None
    dropout: tuple[float, float, float] = DROPOUT
    bn_axis_name: str | None = None

    def setup(self) -> None:
        """Backbone and head; the block comes as an attribute."""
        self.backbone = InceptionResNetV2(self.blocks, bn_axis_name=self.bn_axis_name)
        self.head = KonCeptHead(self.dropout, self.bn_axis_name)

    def __call__(self, x: Float[Array, "n h w c"], *, train: bool, start: str | None = None) -> Float[Array, "n 1"]:
        """Normalised images (n, h, w, 3) -> (n, 1).

        Args:
          x: (pixels - MEAN) / STD of [0, 1] pixels, any size from 75 x 75 on; or the backbone's map `start`.
          train: batch statistics (and their update) in place of running ones, and dropout (rng 'dropout').
          start: name of the map that x is, where the layers before it were run elsewhere; None: x is images.

        Raises:
          ValueError: an unknown `block_at` or `start`, images that are too small, or a `pool_window` larger than the
            last map.
        """
        insert = {} if self.block is None else {self.block_at: self.block}
        last = self.backbone(x, train=train, insert=insert, start=start)["conv2d_7b"]
        return self.head(self._pooled(last), train=train)

    def _pooled(self, x: Array) -> Array:
        window = self.pool_window
        if window is None:
            return x.mean((1, 2))
        rows, columns = (side // window * window for side in x.shape[1:3])
        if not rows * columns:
            raise ValueError(f"KonCept512: the last map has {x.shape[1:3]} pixels, too few for pool_window={window}")
        return x[:, :rows, :columns].mean((1, 2))
