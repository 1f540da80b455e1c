"""SCNN, the small network of DBCNN that was trained to tell synthetic distortions and their levels apart.
Sources: arXiv 1907.02665, section III-A; architecture and names of zwx8981/DBCNN-PyTorch, SCNN.py."""

import flax.linen as nn
from jaxtyping import Array, Float

from robust_iqa_jax.backbones.named_maps import Insertions, first_map, inserted
from robust_iqa_jax.layers.batch_norm import BatchNorm
from robust_iqa_jax.layers.conv import Conv
from robust_iqa_jax.layers.initializers import kaiming_fan_in

WIDTHS = (48, 48, 64, 64, 64, 64, 128, 128, 128)
"""Channels of each 3x3 convolution."""
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 2)
"""Strides of each; with one pixel of padding they make sides of ceil(side / 16)."""
CLASSES = 39
"""Distortion types times levels."""

TAPS = tuple(f"conv{i}" for i in range(1, len(WIDTHS) + 1))
"""Names of the feature maps, in the order of the network, each after normalisation and ReLU."""
INSERTION_POINTS = ("input", *TAPS)
"""Where a block can be put."""


class SCNN(nn.Module):
    """Normalised images (backbones.vgg's MEAN and STD) -> every named feature map, for any height and width.

    Submodules: conv1, bn1, ..., conv9, bn9; projection1, projection_bn1, projection2, projection_bn2, classifier.
    As in the release every kernel starts from kaiming_fan_in and every bias at zero.

    Attributes:
      widths: channels of each convolution.
      batch_norm: normalises behind each of the nine convolutions; the release has weights of both kinds. The
        projections are normalised in either.
      include_classifier: adds 'logits' (n, 39), distortion types and levels.
      bn_axis_name: mapped axis over which the statistics of batch normalisation are averaged in training.
    """

    widths: tuple[int, ...] = WIDTHS
    batch_norm: bool = True
    include_classifier: bool = False
    bn_axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], *, train: bool, insert: Insertions | None = None, start: str | None = None
    ) -> dict[str, Array]:
        """As named_maps.Backbone.

        'logits' (n, 39) are of the mean over the last map, which for the release's images of 224 x 224 is its 14 x 14
        average pooling.
        """
        insert = insert or {}
        first = first_map("SCNN", x, insert, start, INSERTION_POINTS, TAPS)
        maps: dict[str, Array] = {}

        def layer(x: Array, width: int, size: int, stride: int, conv: str, norm: str | None) -> Array:
            x = Conv(width, size, stride, size // 2, use_bias=True, kernel_init=kaiming_fan_in, name=conv)(x)
            return nn.relu(x if norm is None else BatchNorm(axis_name=self.bn_axis_name, name=norm)(x, train))

        if start is None:
            x = inserted(insert, "input", x)
        else:
            x = maps[start] = inserted(insert, start, x)
        for i in range(first + 1, len(TAPS)):
            norm = f"bn{i + 1}" if self.batch_norm else None
            x = maps[TAPS[i]] = inserted(insert, TAPS[i], layer(x, self.widths[i], 3, STRIDES[i], TAPS[i], norm))
        if self.include_classifier:
            x = x.mean((1, 2), keepdims=True)
            for i in (1, 2):
                x = layer(x, 256, 1, 1, f"projection{i}", f"projection_bn{i}")
            maps["logits"] = nn.Dense(CLASSES, kernel_init=kaiming_fan_in, name="classifier")(x[:, 0, 0])
        return maps
