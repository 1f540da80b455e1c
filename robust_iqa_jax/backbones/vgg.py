"""VGG-16 without batch normalisation as a Flax module: thirteen 3x3 convolutions in five stages, max pooling between.
Sources: arXiv 1409.1556, configuration D; semantics and names of torchvision/models/vgg.py."""

import flax.linen as nn
from jaxtyping import Array, Float

from robust_iqa_jax.backbones.named_maps import Insertions, first_map, inserted
from robust_iqa_jax.functional.map_resize import adaptive_average_pool
from robust_iqa_jax.functional.pooling import max_pool
from robust_iqa_jax.layers.conv import Conv

MEAN = (0.485, 0.456, 0.406)
"""Mean of the input normalisation (x - MEAN) / STD, in units of [0, 1] pixels."""
STD = (0.229, 0.224, 0.225)
"""Scale of the input normalisation, in units of [0, 1] pixels."""

MIN_SIDE = 32
"""Smallest height and width of an image: the last map has one pixel then."""

CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Convolutions of each stage."""
WIDTHS = (64, 128, 256, 512, 512)
"""Channels of each stage."""

TAPS = tuple(
    name
    for stage, count in enumerate(CONVOLUTIONS, start=1)
    for name in (*(f"conv{stage}_{conv}" for conv in range(1, count + 1)), f"pool{stage}")
)
"""Names of the feature maps, in the order of the network: conv1_1, conv1_2, pool1, ..., conv5_3, pool5."""
INSERTION_POINTS = ("input", *TAPS)
"""Where a block can be put."""


def tap_channels(widths: tuple[int, ...] = WIDTHS) -> dict[str, int]:
    """Channels of every map in TAPS."""
    return {tap: widths[int(tap[4]) - 1] for tap in TAPS}


class VGG(nn.Module):
    """Normalised images -> every named feature map, for any height and width of at least 32.

    Submodules: conv1_1, ..., conv5_3; fc6, fc7, fc8.

    Attributes:
      widths: channels of each stage.
      include_classifier: adds 'logits' (n, 1000), ImageNet classes.
      hidden: width of the classifier's two hidden layers.
      dropout: rate behind each of them in training, from the rng "dropout"; 0 for none.
    """

    widths: tuple[int, ...] = WIDTHS
    include_classifier: bool = False
    hidden: int = 4096
    dropout: float = 0.5

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], *, train: bool, insert: Insertions | None = None, start: str | None = None
    ) -> dict[str, Array]:
        """As named_maps.Backbone; maps of convolutions are taken after ReLU, and do not depend on `train`."""
        insert = insert or {}
        first = first_map("VGG", x, insert, start, INSERTION_POINTS, TAPS, MIN_SIDE)
        maps: dict[str, Array] = {}
        if start is None:
            x = inserted(insert, "input", x)
        else:
            x = maps[start] = inserted(insert, start, x)
        for tap in TAPS[first + 1 :]:
            if tap.startswith("pool"):
                x = max_pool(x, 2, 2)
            else:
                x = nn.relu(Conv(self.widths[int(tap[4]) - 1], 3, 1, 1, use_bias=True, name=tap)(x))
            x = maps[tap] = inserted(insert, tap, x)
        if self.include_classifier:
            maps["logits"] = self._classify(x, train)
        return maps

    def _classify(self, x: Array, train: bool) -> Array:
        init = nn.initializers.normal(0.01)
        # torchvision flattens channel by channel, and the first layer's weights are in that order
        x = adaptive_average_pool(x, (7, 7)).transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
        for name in ("fc6", "fc7"):
            x = nn.relu(nn.Dense(self.hidden, kernel_init=init, name=name)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(1000, kernel_init=init, name="fc8")(x)
