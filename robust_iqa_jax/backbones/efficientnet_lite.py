"""EfficientNet-Lite 0, 1 and 2: EfficientNet without squeeze-excite and with ReLU6, as a Flax module.
Source: arXiv 1905.11946; tensorflow/tpu models/official/efficientnet/lite/efficientnet_lite_builder.py."""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from robust_iqa_jax.backbones.named_maps import Insertions, first_map, inserted
from robust_iqa_jax.functional.depthwise import depthwise_conv
from robust_iqa_jax.layers.batch_norm import BatchNorm
from robust_iqa_jax.layers.initializers import kaiming_fan_out

MEAN = (127 / 255,) * 3
"""Mean of the input normalisation (x - MEAN) / STD, in units of [0, 1] pixels."""
STD = (128 / 255,) * 3
"""Scale of the input normalisation, in units of [0, 1] pixels."""

TAPS = ("stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "stage7", "head")
"""Names of the feature maps, in the order of the network."""

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280


@dataclass(frozen=True)
class Stage:
    """Inverted residual blocks of one width; the first has the stride; the expansion is of the block's input."""

    channels: int
    repeats: int
    kernel_size: int
    stride: int
    expansion: int


def _stages(channels: tuple[int, ...], repeats: tuple[int, ...]) -> tuple[Stage, ...]:
    kernels, strides, expansions = (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 2, 1, 2, 1), (1, 6, 6, 6, 6, 6, 6)
    return tuple(map(Stage, channels, repeats, kernels, strides, expansions))


STAGES = {
    "lite0": _stages((16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1)),
    "lite1": _stages((16, 24, 40, 80, 112, 192, 320), (1, 3, 3, 4, 4, 5, 1)),
    "lite2": _stages((16, 24, 48, 88, 120, 208, 352), (1, 3, 3, 4, 4, 5, 1)),
}
INPUT_SIZES = {"lite0": 224, "lite1": 240, "lite2": 260}
"""Side of the square images of the published ImageNet accuracies."""


def variant_stages(variant: str) -> tuple[Stage, ...]:
    """The seven stages of "lite0", "lite1" or "lite2"; ValueError for any other name."""
    if variant not in STAGES:
        raise ValueError(f"EfficientNetLite: unknown variant {variant!r}; choose one of {list(STAGES)}")
    return STAGES[variant]


def tap_channels(variant: str) -> dict[str, int]:
    """Channels of every map in TAPS; ValueError for an unknown variant."""
    stages = (stage.channels for stage in variant_stages(variant))
    return dict(zip(TAPS, (STEM_CHANNELS, *stages, HEAD_CHANNELS), strict=True))


def tap_strides(variant: str) -> dict[str, int]:
    """Total stride s of every map in TAPS: an input side n gives ceil(n / s); ValueError for an unknown variant."""
    strides = [2]
    for stage in variant_stages(variant):
        strides.append(strides[-1] * stage.stride)
    return dict(zip(TAPS, (*strides, strides[-1]), strict=True))


class DepthwiseConv(nn.Module):
    """x (n, h, w, c) -> (n, ceil(h/stride), ceil(w/stride), c), a kernel (k, k, c), no bias, SAME padding."""

    kernel_size: int
    stride: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
        """Convolve in `dtype`, or in the input's type."""
        kernel = self.param("kernel", kaiming_fan_out, (self.kernel_size, self.kernel_size, x.shape[-1]))
        return depthwise_conv(x.astype(self.dtype or x.dtype), kernel, self.stride)


class PointwiseConv(nn.Module):
    """x (n, h, w, c) -> (n, h, w, features), a kernel (c, features), no bias."""

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w f"]:
        """Convolve in `dtype`, or in the input's type."""
        kernel = self.param("kernel", kaiming_fan_out, (x.shape[-1], self.features))
        x = x.astype(self.dtype or x.dtype)
        # A matrix product on (pixels, channels): XLA's CPU convolution is up to 15 times slower in its gradients.
        return (x.reshape(-1, x.shape[-1]) @ kernel.astype(x.dtype)).reshape(*x.shape[:-1], self.features)


class _ConvNorm(nn.Module):
    """Bias-free convolution `conv` (full, or depthwise without features) and batch normalisation `bn`."""

    features: int | None
    kernel_size: int
    stride: int = 1
    dtype: Any = None
    bn_axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        if self.features is None:
            x = DepthwiseConv(self.kernel_size, self.stride, self.dtype, name="conv")(x)
        elif self.kernel_size == 1:
            x = PointwiseConv(self.features, self.dtype, name="conv")(x)
        else:
            x = nn.Conv(
                self.features,
                (self.kernel_size,) * 2,
                (self.stride,) * 2,
                padding="SAME",
                use_bias=False,
                dtype=self.dtype,
                kernel_init=kaiming_fan_out,
                name="conv",
            )(x)
        return BatchNorm(1e-3, 0.99, self.bn_axis_name, name="bn")(x, train)


class InvertedResidual(nn.Module):
    """Expand (1x1), depthwise, project (1x1, linear); the input is added where stride and channels allow it.

    `width`: channels inside, the expansion times the input's where not given.
    """

    features: int
    kernel_size: int
    stride: int
    expansion: int
    dtype: Any = None
    bn_axis_name: str | None = None
    width: int | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h2 w2 f"]:
        """Apply the block; there is no expansion convolution where the factor is 1."""
        common = {"dtype": self.dtype, "bn_axis_name": self.bn_axis_name}
        y = x
        if self.expansion != 1:
            width = self.width or x.shape[-1] * self.expansion
            y = nn.relu6(_ConvNorm(width, 1, **common, name="expand")(y, train))
        y = nn.relu6(_ConvNorm(None, self.kernel_size, self.stride, **common, name="depthwise")(y, train))
        y = _ConvNorm(self.features, 1, **common, name="project")(y, train)
        return x + y if self.stride == 1 and x.shape[-1] == self.features else y


class EfficientNetLite(nn.Module):
    """Normalised images -> every named feature map, for any height and width of 32 or more, odd ones included.

    Submodules: stem, stage{1..7}_block{1..}/{expand,depthwise,project}, head, each with `conv` and `bn`; classifier.

    Attributes:
      variant: "lite0", "lite1" or "lite2".
      dtype: compute type of convolutions and outputs; None is the input's. Parameters and statistics are float32.
      include_classifier: adds 'logits' (n, 1000), ImageNet classes.
      bn_axis_name: mapped axis over which the statistics of batch normalisation are averaged in training.
      inner_widths: (path of an expansion, as "stage2_block1/expand", its channels), where they are not the
        publication's.
    """

    variant: str = "lite0"
    dtype: Any = None
    include_classifier: bool = False
    bn_axis_name: str | None = None
    inner_widths: tuple[tuple[str, int], ...] = ()

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], *, train: bool, insert: Insertions | None = None, start: str | None = None
    ) -> dict[str, Array]:
        """As named_maps.Backbone; 'stem' and 'head' are taken after ReLU6, the stages are linear."""
        stages, insert, widths = variant_stages(self.variant), insert or {}, dict(self.inner_widths)
        first = first_map("EfficientNetLite", x, insert, start, ("input", *TAPS), TAPS)
        dtype = self.dtype or x.dtype
        common = {"dtype": dtype, "bn_axis_name": self.bn_axis_name}
        maps: dict[str, Array] = {}
        if first < 0:
            x = inserted(insert, "input", x).astype(dtype)
            x = nn.relu6(_ConvNorm(STEM_CHANNELS, 3, 2, **common, name="stem")(x, train))
        if first < 1:
            x = maps["stem"] = inserted(insert, "stem", x)
        for number, stage in enumerate(stages, start=1):
            if number < first:
                continue
            for block in range(stage.repeats if number > first else 0):
                stride = stage.stride if block == 0 else 1
                name = f"stage{number}_block{block + 1}"
                width = widths.get(f"{name}/expand")
                x = InvertedResidual(
                    stage.channels, stage.kernel_size, stride, stage.expansion, **common, width=width, name=name
                )(x, train)
            x = maps[f"stage{number}"] = inserted(insert, f"stage{number}", x)
        if first < TAPS.index("head"):
            x = nn.relu6(_ConvNorm(HEAD_CHANNELS, 1, **common, name="head")(x, train))
        x = maps["head"] = inserted(insert, "head", x)
        if self.include_classifier:
            maps["logits"] = nn.Dense(1000, dtype=dtype, name="classifier")(x.mean((1, 2)))
        return maps
