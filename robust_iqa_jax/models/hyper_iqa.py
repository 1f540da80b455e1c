"""HyperIQA: a hyper-network reads an image's content and writes the weights of the network that scores it.
Sources: Su et al., CVPR 2020; SSL92/hyperIQA, models.py; trained with gradient norms by YangiD/DefenseIQA-NT, whose
tensors have the same names; chaofengc/IQA-PyTorch, hypernet_arch.py (other names)."""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from robust_iqa_jax.backbones import resnet
from robust_iqa_jax.layers.conv import Conv
from robust_iqa_jax.layers.initializers import fan_in_uniform, kaiming_fan_in
from robust_iqa_jax.models.record import Architecture, block_at, preset, robust_block
from robust_iqa_jax.models.spec import BlockSpec, CropSpec, ModelSpec
from robust_iqa_jax.weights.backbone_names import TORCHVISION_RESNET, resnet_name, robust_block_name
from robust_iqa_jax.weights.conversion import LEAVES, Path, Release
from robust_iqa_jax.weights.state_dict import with_masks_applied, without_prefixes

MEAN, STD = resnet.MEAN, resnet.STD
"""Of the input normalisation (x - MEAN) / STD, in units of [0, 1] pixels."""
INPUT_SIZE = (224, 224)
"""(height, width) of the crops that the network takes; it takes no other. A photo's score is the mean over crops."""

LAYERS = ("layer1", "layer2", "layer3", "layer4")
SIDES = (56, 28, 14, 7)
"""Sides of the maps of LAYERS for a crop."""
DISTORTION = ((16, 16), (32, 16), (64, 16), (None, 176))
"""Of each layer's map: channels that it is narrowed to (None: not), entries of the local-distortion vector."""
TARGET = (224, 112, 56, 28, 14, 1)
"""Widths of the target network, from the local-distortion vector to the score."""
CONTENT = 112
"""Channels of the content map that the hyper-network reads."""

TargetParameters = list[tuple[Float[Array, "n o i"], Float[Array, "n o"]]]
"""Weights and biases of each layer of the target network, one set an image."""


class LocalDistortion(nn.Module):
    """Maps of LAYERS -> the local-distortion vector, 16 + 16 + 16 + 176 entries.

    Submodules lda{1..3}_conv, lda{1..4}_fc.
    """

    @nn.compact
    def __call__(self, maps: list[Float[Array, "n _h _w _c"]]) -> Float[Array, "n 224"]:
        """Averages over 7 x 7 tiles, narrowed by a 1x1 convolution, flattened, and one linear layer a map."""
        parts = []
        for i, (x, (narrow, entries)) in enumerate(zip(maps, DISTORTION, strict=True), start=1):
            n, h, w, c = x.shape
            # the release averages behind the 1x1 convolution: the same, at 49 times the work
            x = x.reshape(n, h // 7, 7, w // 7, 7, c).mean((2, 4))
            if narrow is not None:
                x = Conv(narrow, 1, kernel_init=kaiming_fan_in, name=f"lda{i}_conv")(x)
            x = x.transpose(0, 3, 1, 2).reshape(n, -1)
            init = fan_in_uniform(x.shape[-1])
            parts.append(nn.Dense(entries, kernel_init=kaiming_fan_in, bias_init=init, name=f"lda{i}_fc")(x))
        return jnp.concatenate(parts, axis=-1)


class HyperNetwork(nn.Module):
    """Map of the last layer, 7 x 7 -> weights and biases of the target network.

    Submodules conv1, conv2, conv3 (to CONTENT channels); fc{1..4}w_conv and fc5w_fc for weights, fc{1..5}b_fc for
    biases.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "n 7 7 c"]) -> TargetParameters:
        """Weights of the first four layers are maps of a 3x3 convolution, everything else reads the mean."""
        for i, features in enumerate((1024, 512, CONTENT), start=1):
            init = fan_in_uniform(x.shape[-1])
            x = nn.relu(Conv(features, 1, use_bias=True, kernel_init=init, bias_init=init, name=f"conv{i}")(x))
        n, h, w, _ = x.shape
        mean = x.mean((1, 2))

        def dense(features: int, name: str) -> Array:
            return nn.Dense(features, kernel_init=kaiming_fan_in, bias_init=fan_in_uniform(CONTENT), name=name)(mean)

        parameters = []
        for i, (inputs, outputs) in enumerate(pairwise(TARGET), start=1):
            if outputs == 1:
                weight = dense(inputs, f"fc{i}w_fc")
            else:
                channels, init = inputs * outputs // (h * w), fan_in_uniform(9 * CONTENT)
                conv = Conv(channels, 3, 1, 1, 1, True, kaiming_fan_in, init, name=f"fc{i}w_conv")
                weight = conv(x).transpose(0, 3, 1, 2)
            parameters.append((weight.reshape(n, outputs, inputs), dense(outputs, f"fc{i}b_fc")))
        return parameters


def target_network(vector: Float[Array, "n i"], parameters: TargetParameters) -> Float[Array, "n o"]:
    """Every image through its own layers, sigmoids between them."""
    for i, (weight, bias) in enumerate(parameters):
        vector = vector if i == 0 else jax.nn.sigmoid(vector)
        vector = jnp.einsum("noi,ni->no", weight, vector, precision=lax.Precision.HIGHEST) + bias
    return vector


class HyperIQA(nn.Module):
    """Quality scores on the scale of the labels that the weights were fitted to.

    Parameters lie under `backbone`, `distortion`, `hyper` and, where there is one, `block`.

    Attributes:
      block: module applied to the backbone's map `block_at`; it has to keep height and width, since the layers behind
        it are made for the maps of a 224 x 224 crop. None for the plain model.
      block_at: name of the map, see backbones.resnet.insertion_points.
      backbone_variant: a key of backbones.resnet.VARIANTS; "resnet50" in the release.
      bn_axis_name: mapped axis for cross-replica batch statistics.
    """

    block: nn.Module | None = None
    block_at: str = ""
    backbone_variant: str = "resnet50"
    bn_axis_name: str | None = None

    def setup(self) -> None:
        """Backbone, local-distortion-aware module and hyper-network; the block comes as an attribute."""
        self.backbone = resnet.ResNet(self.backbone_variant, bn_axis_name=self.bn_axis_name)
        self.distortion = LocalDistortion()
        self.hyper = HyperNetwork()

    def __call__(self, x: Float[Array, "n 224 224 3"], *, train: bool) -> Float[Array, "n 1"]:
        """Normalised crops -> scores (n, 1).

        Args:
          x: (n, 224, 224, 3).
          train: batch statistics (and their update) in place of running ones in the backbone.

        Raises:
          ValueError: another input, a block at an unknown point, or one that changes the size of its map.
        """
        return target_network(*self.target(x, train=train))

    def target(self, x: Float[Array, "n 224 224 3"], *, train: bool) -> tuple[Float[Array, "n 224"], TargetParameters]:
        """The local-distortion vector of every crop and the parameters of the network that scores it; as `__call__`."""
        if x.ndim != 4 or x.shape[1:] != (*INPUT_SIZE, 3):
            raise ValueError(f"HyperIQA: expected crops (n, 224, 224, 3), got {x.shape}")
        insert = {} if self.block is None else {self.block_at: self.block}
        maps = self.backbone(x, train=train, insert=insert)
        for layer, side in zip(LAYERS, SIDES, strict=True):
            if maps[layer].shape[1:3] != (side, side):
                raise ValueError(
                    f"HyperIQA: {layer} is {maps[layer].shape[1:3]} instead of {(side, side)}; "
                    "its block has to keep height and width (padding=1, pool='none')"
                )
        return self.distortion([maps[layer] for layer in LAYERS]), self.hyper(maps["layer4"])


PREFIXES = ("module.", "model_hyper.")
"""What DataParallel and DefenseIQA-NT's wrapper put before every name."""
_PYIQA: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"base_model\.(.*)", lambda m: f"res.{m[1]}"),
    (r"lda_modules\.([012])\.0\.(\w+)", lambda m: f"res.lda{int(m[1]) + 1}_pool.0.{m[2]}"),
    (r"lda_modules\.([012])\.3\.(\w+)", lambda m: f"res.lda{int(m[1]) + 1}_fc.{m[2]}"),
    (r"lda_modules\.3\.2\.(\w+)", lambda m: f"res.lda4_fc.{m[1]}"),
    (r"fc_w_modules\.([0123])\.(\w+)", lambda m: f"fc{int(m[1]) + 1}w_conv.{m[2]}"),
    (r"fc_w_modules\.4\.2\.(\w+)", lambda m: f"fc5w_fc.{m[1]}"),
    (r"fc_b_modules\.([01234])\.2\.(\w+)", lambda m: f"fc{int(m[1]) + 1}b_fc.{m[2]}"),
)
"""IQA-PyTorch's names -> the release's."""


def torch_name(path: Path) -> str:
    """The release's name of a variable: (params, distortion, lda1_conv, kernel) -> res.lda1_pool.0.weight.

    A block, which the release does not have, is named as A-DB's: cayley.conv_in.weight, cayley.conv_cayley.alpha.
    """
    collection, part, *inner, leaf = path
    if part == "backbone":
        return f"res.{resnet_name((collection, *inner, leaf))}"
    if part == "block":
        return f"cayley.{robust_block_name((*inner, leaf))}"
    (module,) = inner
    if part == "distortion":
        module = f"res.{module.replace('_conv', '_pool.0')}"
    elif module.startswith("conv"):
        module = f"conv1.{2 * (int(module.removeprefix('conv')) - 1)}"
    return f"{module}.{LEAVES[leaf]}"


def to_release(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors under the names that `torch_name` gives, from the release's own, DefenseIQA-NT's or IQA-PyTorch's."""
    released = {}
    for name, tensor in with_masks_applied(without_prefixes(tensors, PREFIXES)).items():
        for pattern, rename in _PYIQA:
            if match := re.fullmatch(pattern, name):
                name = rename(match)
                break
        released[name] = tensor
    return released


RECORD = Architecture(
    name="hyperiqa",
    title="HyperIQA",
    paper="CVPR 2020, Su et al.",
    build=lambda spec, bn_axis_name: HyperIQA(robust_block(spec), block_at(spec), bn_axis_name=bn_axis_name),
    block_points=lambda spec: resnet.insertion_points("resnet50"),
    normalisation=lambda spec: (MEAN, STD),
    loss="absolute",
    releases=lambda spec: (Release("HyperIQA", torch_name, plain=to_release), TORCHVISION_RESNET.under("backbone")),
    presets={
        "hyperiqa": preset(
            ModelSpec("hyperiqa", "resnet50", (), (384, 512), CropSpec(224, 5, 5)), BlockSpec("layer3", 200, "none", 1)
        )
    },
    score_range=(0, 100),
)
