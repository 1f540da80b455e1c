"""Inception-ResNet-v2 as a Flax module, every step of it a named map.
Sources: arXiv 1602.07261; semantics and names of Cadene/pretrained-models.pytorch, models/inceptionresnetv2.py."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.backbones.named_maps import Insertions, first_map, inserted
from robust_iqa_jax.functional.elementwise import relu_sum
from robust_iqa_jax.functional.pooling import avg_pool, max_pool
from robust_iqa_jax.layers.batch_norm import BatchNorm
from robust_iqa_jax.layers.conv import Conv

MEAN = (0.5, 0.5, 0.5)
"""Mean of the input normalisation (x - MEAN) / STD, in units of [0, 1] pixels."""
STD = (0.5, 0.5, 0.5)
"""Scale of the input normalisation, in units of [0, 1] pixels."""

EPSILON = 1e-3
"""Of the batch normalisations; TensorFlow's, where the published weights come from."""
BLOCKS = (10, 20, 9)
"""Residual blocks of 'repeat', 'repeat_1' and 'repeat_2'; 'block8' is one more."""
MIN_SIDE = 75
"""Smallest height and width of an image: the last maps have one pixel then."""

Pooling = Callable[[Array], Array]
HALVE: Pooling = partial(max_pool, window=3, stride=2)
SMOOTH: Pooling = partial(avg_pool, window=3, stride=1, padding=1)


@dataclass(frozen=True)
class Layer:
    """A convolution with batch normalisation and ReLU: arguments of layers.conv.Conv."""

    features: int
    kernel_size: int | tuple[int, int] = 1
    stride: int = 1
    padding: int | tuple[int, int] = 0


Branches = tuple[tuple[Layer | Pooling, ...], ...]
"""Chains of layers that all read the same map; their outputs are concatenated in this order."""


@dataclass(frozen=True)
class Residual:
    """x + scale * (1x1 convolution with bias of the branches), then ReLU or not."""

    branches: Branches
    scale: float
    relu: bool = True


_BLOCK35 = (
    (Layer(32),),
    (Layer(32), Layer(32, 3, padding=1)),
    (Layer(32), Layer(48, 3, padding=1), Layer(64, 3, padding=1)),
)
_BLOCK17 = (
    (Layer(192),),
    (Layer(128), Layer(160, (1, 7), padding=(0, 3)), Layer(192, (7, 1), padding=(3, 0))),
)
_BLOCK8 = (
    (Layer(192),),
    (Layer(192), Layer(224, (1, 3), padding=(0, 1)), Layer(256, (3, 1), padding=(1, 0))),
)

STEPS: dict[str, Layer | Pooling | Branches | Residual] = {
    "conv2d_1a": Layer(32, 3, 2),
    "conv2d_2a": Layer(32, 3),
    "conv2d_2b": Layer(64, 3, padding=1),
    "maxpool_3a": HALVE,
    "conv2d_3b": Layer(80),
    "conv2d_4a": Layer(192, 3),
    "maxpool_5a": HALVE,
    "mixed_5b": (
        (Layer(96),),
        (Layer(48), Layer(64, 5, padding=2)),
        (Layer(64), Layer(96, 3, padding=1), Layer(96, 3, padding=1)),
        (SMOOTH, Layer(64)),
    ),
    "repeat": Residual(_BLOCK35, 0.17),
    "mixed_6a": ((Layer(384, 3, 2),), (Layer(256), Layer(256, 3, padding=1), Layer(384, 3, 2)), (HALVE,)),
    "repeat_1": Residual(_BLOCK17, 0.10),
    "mixed_7a": (
        (Layer(256), Layer(384, 3, 2)),
        (Layer(256), Layer(288, 3, 2)),
        (Layer(256), Layer(288, 3, padding=1), Layer(320, 3, 2)),
        (HALVE,),
    ),
    "repeat_2": Residual(_BLOCK8, 0.20),
    "block8": Residual(_BLOCK8, 1.0, relu=False),
    "conv2d_7b": Layer(1536),
}
"""The network, step by step."""

TAPS = tuple(STEPS)
"""Names of the feature maps, in the order of the network; all but 'block8' have passed a ReLU."""
TAP_CHANNELS = dict(
    zip(TAPS, (32, 32, 64, 64, 80, 192, 192, 320, 320, 1088, 1088, 2080, 2080, 2080, 1536), strict=True)
)
"""Channels of every map in TAPS."""
INSERTION_POINTS = ("input", *TAPS)
"""Where a block can be put."""
REPEATED = {"repeat": "block35", "repeat_1": "block17", "repeat_2": "block8"}
"""Steps of several blocks -> what their blocks are called: block35_0, block35_1, ..."""


class ConvNormRelu(nn.Module):
    """Convolution without bias, batch normalisation, ReLU; submodules conv, bn."""

    layer: Layer
    bn_axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h2 w2 f"]:
        """Apply the layer."""
        kind = self.layer
        x = Conv(kind.features, kind.kernel_size, kind.stride, kind.padding, name="conv")(x)
        return nn.relu(BatchNorm(EPSILON, axis_name=self.bn_axis_name, name="bn")(x, train))


class Mixed(nn.Module):
    """Branches side by side, concatenated over channels; submodules branch0, or branch1_0, branch1_1, ... of a chain.

    The index counts a chain's poolings too.
    """

    branches: Branches
    bn_axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h2 w2 f"]:
        """Apply the branches."""
        return _branched(self.branches, x, train, self.bn_axis_name)


class ResidualBlock(nn.Module):
    """A Residual; submodules as in Mixed, and conv2d, the convolution back to the channels of the input."""

    kind: Residual
    bn_axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h w c"]:
        """Apply the block."""
        y = _branched(self.kind.branches, x, train, self.bn_axis_name)
        y = self.kind.scale * Conv(x.shape[-1], 1, use_bias=True, name="conv2d")(y)
        return relu_sum(x, y) if self.kind.relu else x + y


def _branched(branches: Branches, x: Array, train: bool, bn_axis_name: str | None) -> Array:
    outputs = []
    for i, chain in enumerate(branches):
        y = x
        for j, layer in enumerate(chain):
            if isinstance(layer, Layer):
                name = f"branch{i}" if len(chain) == 1 else f"branch{i}_{j}"
                y = ConvNormRelu(layer, bn_axis_name, name=name)(y, train)
            else:
                y = layer(y)
        outputs.append(y)
    return jnp.concatenate(outputs, axis=-1)


class InceptionResNetV2(nn.Module):
    """Normalised images -> every named feature map, for any height and width from MIN_SIDE on.

    Submodules: the steps that have parameters, by their names in TAPS; block35_0, ..., block17_0, ..., block8_0, ...
    for the blocks of the repeated ones; last_linear.

    Attributes:
      blocks: blocks in 'repeat', 'repeat_1' and 'repeat_2'; the published network has BLOCKS.
      include_classifier: adds 'logits' (n, classes).
      classes: 1001 in the published weights, whose class 0 is the background; ImageNet's 1000 follow.
      bn_axis_name: mapped axis over which the statistics of batch normalisation are averaged in training.
    """

    blocks: tuple[int, int, int] = BLOCKS
    include_classifier: bool = False
    classes: int = 1001
    bn_axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], *, train: bool, insert: Insertions | None = None, start: str | None = None
    ) -> dict[str, Array]:
        """As named_maps.Backbone.

        'logits' are of the mean over the last map; the publication takes the mean of 8 x 8 pixels, which is the same
        for its images of 299 x 299.
        """
        insert = insert or {}
        first = first_map("InceptionResNetV2", x, insert, start, INSERTION_POINTS, TAPS, MIN_SIDE)
        maps: dict[str, Array] = {}
        if first < 0:
            x = inserted(insert, "input", x)
        for index, name in enumerate(TAPS):
            if index > first:
                x = self._step(name, x, train)
            if index >= first:
                x = maps[name] = inserted(insert, name, x)
        if self.include_classifier:
            maps["logits"] = nn.Dense(self.classes, name="last_linear")(x.mean((1, 2)))
        return maps

    def _step(self, name: str, x: Array, train: bool) -> Array:
        step = STEPS[name]
        if isinstance(step, Layer):
            return ConvNormRelu(step, self.bn_axis_name, name=name)(x, train)
        if isinstance(step, tuple):
            return Mixed(step, self.bn_axis_name, name=name)(x, train)
        if not isinstance(step, Residual):
            return step(x)
        names = [name]
        if name in REPEATED:
            count = self.blocks[list(REPEATED).index(name)]
            names = [f"{REPEATED[name]}_{i}" for i in range(count)]
        for block in names:
            x = ResidualBlock(step, self.bn_axis_name, name=block)(x, train)
        return x
