"""KonCept512: Inception-ResNet-v2, global average pooling, four dense layers to a mean opinion score.
Sources: arXiv 1910.06180, subpic/koniq; ZhengyuZhao/koniq-PyTorch (names); arXiv 2506.04951 (block) and branch
KonCept_dali of abhhfcgjk/VG_Architectural_Adversarial_Robustness (its names)."""

import dataclasses
import re
from collections.abc import Mapping

import flax.linen as nn
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.backbones import inception_resnet_v2
from robust_iqa_jax.backbones.inception_resnet_v2 import BLOCKS, TAPS, InceptionResNetV2
from robust_iqa_jax.layers.batch_norm import BatchNorm
from robust_iqa_jax.layers.dense import Dense
from robust_iqa_jax.models.record import Architecture, block_at, preset, robust_block
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.weights.backbone_names import (
    CADENE_INCEPTION_RESNET_V2,
    inception_resnet_v2_name,
    robust_block_name,
)
from robust_iqa_jax.weights.conversion import LEAVES, Path, Release
from robust_iqa_jax.weights.state_dict import with_masks_applied, without_prefixes
from robust_iqa_jax.weights.torch_pickle import CheckpointError

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


BLOCK_NAME = "cayley2"
"""What the RobustBlock is called in the canonical names."""


def torch_name(path: Path) -> str:
    """The canonical name of a variable of models.koncept512.KonCept512, which is koniq-PyTorch's.

    base.N for step N of the backbone, fc.4i for dense layer i, fc.4i+2 for its norm; the RobustBlock, which that
    release has not, is cayley2.conv_in and cayley2.conv_cayley, as in KonCept_dali.
    """
    collection, part, *modules, leaf = path
    if part == "backbone":
        step, _, rest = inception_resnet_v2_name((collection, *modules, leaf)).partition(".")
        return f"base.{TAPS.index(step)}.{rest}"
    (module,) = modules
    if part == "block":
        return f"{BLOCK_NAME}.{robust_block_name((module, leaf))}"
    kind, index = module[:-1], int(module[-1])
    return f"fc.{4 * index + (2 if kind == 'bn' else 0)}.{LEAVES[leaf]}"


def block_position(tensors: Mapping[str, np.ndarray]) -> str | None:
    """Name of the map behind which a checkpoint has its RobustBlock ("block8" in the published form), None for none.

    Args:
      tensors: PyTorch name -> array, as in the file.

    Raises:
      CheckpointError: more than one block, or one where there is no map.
    """
    index = _block_index(_unwrapped(tensors))
    return None if index is None else TAPS[index - 1]


def canonical(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of any of the known forms of a checkpoint under the names that `torch_name` gives.

    What differs in a checkpoint of KonCept_dali:
      - prefixes: "model." of the wrapper that normalises, "module." of distributed training;
      - normalize.mean and normalize.std, which must be MEAN and STD;
      - the RobustBlock is a step of base, so that those behind it count one more, and once more an attribute (cayley1,
        cayley2);
      - pruned tensors that still lie apart, as weight_orig and weight_mask.

    Args:
      tensors: PyTorch name -> array, as in the file.

    Raises:
      CheckpointError: another normalisation, more than one block, or one where there is no map.
    """
    plain = _unwrapped(tensors)
    for name, expected in (("normalize.mean", MEAN), ("normalize.std", STD)):
        found = plain.pop(name, None)
        if found is not None and not np.allclose(np.ravel(found), expected):
            raise CheckpointError(f"{name} is {np.ravel(found).tolist()}, KonCept512 has {list(expected)}")
    index = _block_index(plain)
    if index is None:
        return plain
    renamed = {}
    for name, tensor in plain.items():
        if name.startswith(("cayley1.", "cayley2.")):  # the same tensors again
            continue
        if match := re.fullmatch(r"base\.(\d+)\.(.*)", name):
            step, rest = int(match[1]), match[2]
            name = f"{BLOCK_NAME}.{rest}" if step == index else f"base.{step - (step > index)}.{rest}"
        renamed[name] = tensor
    return renamed


def _unwrapped(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return with_masks_applied(without_prefixes(tensors, ("module.", "model.")))


def _block_index(plain: Mapping[str, np.ndarray]) -> int | None:
    found = [int(match[1]) for name in plain if (match := re.fullmatch(r"base\.(\d+)\.conv_in\.weight", name))]
    if not found:
        return None
    if len(found) > 1 or not 1 <= found[0] <= len(TAPS):
        raise CheckpointError(f"expected one RobustBlock behind a step of base, found it at {sorted(found)}")
    return found[0]


_SPEC = ModelSpec("koncept512", "inception_resnet_v2", (), INPUT_SIZE)
_NAMED = preset(_SPEC, BlockSpec(BLOCK_AT, BLOCK_MID_CHANNELS, "square", 0), authors=True)

RECORD = Architecture(
    name="koncept512",
    title="KonCept512",
    paper="arXiv 1910.06180",
    build=lambda spec, bn_axis_name: KonCept512(
        block=robust_block(spec), block_at=block_at(spec), pool_window=spec.pool_window, bn_axis_name=bn_axis_name
    ),
    block_points=lambda spec: inception_resnet_v2.INSERTION_POINTS,
    normalisation=lambda spec: (MEAN, STD),
    loss="squared",
    releases=lambda spec: (
        Release("koniq-PyTorch", torch_name, plain=canonical),
        CADENE_INCEPTION_RESNET_V2.under("backbone"),
    ),
    # koncept512-pytorch-robust is koncept512-robust: the block leaves 7 x 7 pixels of the last map, fewer than the
    # window of koniq-PyTorch, 8. The paper's code, whose tensors have koniq-PyTorch's names, averages all of them; a
    # checkpoint of it fits both names, and has to be scored as it was trained.
    presets={
        "koncept512": _NAMED,
        "koncept512-pytorch": _NAMED._replace(plain=dataclasses.replace(_SPEC, pool_window=8), authors=None),
    },
    score_range=(1, 100),
)
