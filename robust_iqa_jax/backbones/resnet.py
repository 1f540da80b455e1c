"""ResNet-18/34/50/101, wide ResNet-50-2 and ResNeXt-101 32x8d as a Flax module, stride on the 3x3 convolution.
Sources: arXiv 1512.03385, 1605.07146, 1611.05431; semantics and names of torchvision/models/resnet.py."""

from dataclasses import dataclass

import flax.linen as nn
from jaxtyping import Array, Float

from robust_iqa_jax.backbones.named_maps import Insertions, first_map, inserted
from robust_iqa_jax.functional.elementwise import relu_sum
from robust_iqa_jax.functional.pooling import max_pool
from robust_iqa_jax.layers.batch_norm import BatchNorm
from robust_iqa_jax.layers.conv import Conv

MEAN = (0.485, 0.456, 0.406)
"""Mean of the input normalisation (x - MEAN) / STD, in units of [0, 1] pixels."""
STD = (0.229, 0.224, 0.225)
"""Scale of the input normalisation, in units of [0, 1] pixels."""

TAPS = ("stem", "layer1", "layer2", "layer3", "layer4")
"""Names of the feature maps, in the order of the network; the stem's is taken after its max pooling."""


@dataclass(frozen=True)
class Variant:
    """Blocks of each layer, whether they are bottlenecks, and the width and groups of their 3x3 convolutions."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool = True
    width_per_group: int = 64
    groups: int = 1


VARIANTS = {
    "resnet18": Variant((2, 2, 2, 2), bottleneck=False),
    "resnet34": Variant((3, 4, 6, 3), bottleneck=False),
    "resnet50": Variant((3, 4, 6, 3)),
    "resnet101": Variant((3, 4, 23, 3)),
    "wide_resnet50_2": Variant((3, 4, 6, 3), width_per_group=128),
    "resnext101_32x8d": Variant((3, 4, 23, 3), width_per_group=8, groups=32),
}


def variant(name: str) -> Variant:
    """The variant of this name; ValueError for an unknown one."""
    if name not in VARIANTS:
        raise ValueError(f"ResNet: unknown variant {name!r}; choose one of {', '.join(VARIANTS)}")
    return VARIANTS[name]


def tap_channels(name: str) -> dict[str, int]:
    """Channels of every map in TAPS; ValueError for an unknown variant."""
    expansion = 4 if variant(name).bottleneck else 1
    return dict(zip(TAPS, (64, *(planes * expansion for planes in (64, 128, 256, 512))), strict=True))


def insertion_points(name: str) -> tuple[str, ...]:
    """Where a block can be put: "input", the maps of TAPS, and "layer2_2", behind the second block of layer2, alike."""
    points = ["input", "stem"]
    for layer, blocks in enumerate(variant(name).blocks, start=1):
        points += [f"layer{layer}_{block}" for block in range(1, blocks)] + [f"layer{layer}"]
    return tuple(points)


class ResNetBlock(nn.Module):
    """Basic block (3x3, 3x3) or bottleneck (1x1, 3x3, 1x1 to four times the planes), each with batch normalisation.

    The shortcut is a strided 1x1 convolution where the shape changes. Submodules as in torchvision: conv1, bn1, ...,
    downsample_conv, downsample_bn. `inner_widths` as of ResNet.
    """

    planes: int
    stride: int
    variant: Variant
    bn_axis_name: str | None = None
    inner_widths: tuple[tuple[str, int], ...] = ()

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h2 w2 f"]:
        """Apply the block."""
        kind, widths = self.variant, dict(self.inner_widths)

        def width(conv: str, default: int) -> int:
            return widths.get(f"{self.name}/{conv}", default)

        def norm(name: str, y: Array) -> Array:
            return BatchNorm(axis_name=self.bn_axis_name, name=name)(y, train)

        if kind.bottleneck:
            inner = self.planes * kind.width_per_group // 64 * kind.groups
            features = 4 * self.planes
            y = nn.relu(norm("bn1", Conv(width("conv1", inner), 1, name="conv1")(x)))
            y = nn.relu(norm("bn2", Conv(width("conv2", inner), 3, self.stride, 1, kind.groups, name="conv2")(y)))
            y = norm("bn3", Conv(features, 1, name="conv3")(y))
        else:
            features = self.planes
            y = nn.relu(norm("bn1", Conv(width("conv1", features), 3, self.stride, 1, name="conv1")(x)))
            y = norm("bn2", Conv(features, 3, 1, 1, name="conv2")(y))
        if x.shape != y.shape:
            x = norm("downsample_bn", Conv(features, 1, self.stride, name="downsample_conv")(x))
        return relu_sum(x, y)


class ResNet(nn.Module):
    """Normalised images -> every named feature map, for any height and width.

    Submodules: conv1, bn1, layer{1..4}_{0..} as in torchvision with "_" for ".", fc.

    Attributes:
      name_of_variant: a key of VARIANTS.
      include_classifier: adds 'logits' (n, 1000), ImageNet classes.
      bn_axis_name: mapped axis over which the statistics of batch normalisation are averaged in training.
      inner_widths: (path of a block's inner convolution, as "layer1_0/conv1", its channels), where they are not the
        variant's.
    """

    name_of_variant: str = "resnet50"
    include_classifier: bool = False
    bn_axis_name: str | None = None
    inner_widths: tuple[tuple[str, int], ...] = ()

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], *, train: bool, insert: Insertions | None = None, start: str | None = None
    ) -> dict[str, Array]:
        """As named_maps.Backbone; insertions at `insertion_points`, starts at TAPS, all maps after ReLU."""
        kind, insert = variant(self.name_of_variant), insert or {}
        first = first_map("ResNet", x, insert, start, insertion_points(self.name_of_variant), TAPS)
        maps: dict[str, Array] = {}
        if first < 0:
            x = Conv(64, 7, 2, 3, name="conv1")(inserted(insert, "input", x))
            x = BatchNorm(axis_name=self.bn_axis_name, name="bn1")(x, train)
            x = max_pool(nn.relu(x), 3, 2, 1)
        if first < 1:
            x = maps["stem"] = inserted(insert, "stem", x)
        for layer, blocks in enumerate(kind.blocks, start=1):
            if layer < first:
                continue
            for block in range(blocks if layer > first else 0):
                stride = 2 if block == 0 and layer > 1 else 1
                planes = 64 * 2 ** (layer - 1)
                name = f"layer{layer}_{block}"
                x = ResNetBlock(planes, stride, kind, self.bn_axis_name, self.inner_widths, name=name)(x, train)
                if block + 1 < blocks:
                    x = inserted(insert, f"layer{layer}_{block + 1}", x)
            x = maps[f"layer{layer}"] = inserted(insert, f"layer{layer}", x)
        if self.include_classifier:
            maps["logits"] = nn.Dense(1000, name="fc")(x.mean((1, 2)))
        return maps
