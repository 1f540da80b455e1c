"""DBCNN: bilinear pooling of VGG-16's last convolution with SCNN's, and one linear layer.
Sources: arXiv 1907.02665; zwx8981/DBCNN-PyTorch, DBCNN.py; chaofengc/IQA-PyTorch, dbcnn_arch.py (the same names);
RobustBlocks as in A-DB, model.py (docs/sources.md 1.5, 2.4)."""

import re
from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from robust_iqa_jax.backbones import scnn, vgg
from robust_iqa_jax.functional.map_resize import resize_aligned
from robust_iqa_jax.layers.initializers import kaiming_fan_in
from robust_iqa_jax.models.record import Architecture, block_at, preset, robust_block
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.weights.backbone_names import TORCHVISION_VGG, VGG_MODULES, robust_block_name, vgg_name
from robust_iqa_jax.weights.conversion import LEAVES, Path, Release
from robust_iqa_jax.weights.state_dict import with_masks_applied, without_prefixes
from robust_iqa_jax.weights.torch_pickle import CheckpointError

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


PREFIXES = ("module.", "model.")
"""What DataParallel and A-DB, whose model is preceded by a normalisation, put before every name."""

_SCNN_PARTS = {
    "projection1": "projection.0",
    "projection_bn1": "projection.1",
    "projection2": "projection.3",
    "projection_bn2": "projection.4",
    "classifier": "classifier",
}
_BLOCKS = {"block": "cayley", "scnn_block": "cayley2"}
_BLOCK_MODULE = re.compile(r"(features[12])\.(\d+)\.conv_in\.")
_FEATURE = re.compile(r"(features[12])\.(\d+)\.(.*)")


def torch_name(path: Path, scnn_batch_norm: bool = True) -> str:
    """The release's name of a variable of DBCNN: (params, scnn, bn9, scale) -> features2.25.weight.

    Blocks, which the release does not have, are named as A-DB's attributes wherever they sit: cayley.conv_in.weight in
    VGG-16, cayley2.conv_cayley.alpha in SCNN. `to_release` brings A-DB's other names of them to these.
    """
    collection, module, *inner, leaf = path
    if module in _BLOCKS:
        return f"{_BLOCKS[module]}.{robust_block_name((*inner, leaf))}"
    rest = (collection, *inner, leaf)
    if module == "vgg":
        return vgg_name(rest).replace("features.", "features1.", 1)
    if module == "scnn":
        return scnn_name(rest, scnn_batch_norm).replace("features.", "features2.", 1)
    return f"{module}.{LEAVES[leaf]}"


def scnn_name(path: Path, batch_norm: bool = True) -> str:
    """The release's name of a variable of SCNN: (params, conv9, kernel) -> features.24.weight."""
    _, module, leaf = path
    return f"{_SCNN_PARTS.get(module) or f'features.{_scnn_modules(batch_norm).index(module)}'}.{LEAVES[leaf]}"


def is_scnn_classifier(name: str) -> bool:
    """Whether a tensor of a file of SCNN alone belongs to what DBCNN does without."""
    return name.startswith(("projection.", "classifier."))


def is_block(name: str) -> bool:
    """Whether a tensor is a block's own: of a model that has none, A-DB's files may have some that it does not run."""
    return name.startswith(("cayley.", "cayley2.", "cayley4."))


def block_positions(tensors: Mapping[str, np.ndarray], scnn_batch_norm: bool = True) -> tuple[str, str]:
    """Where the checkpoint has RobustBlocks in VGG-16 and in SCNN, "" for none: ("conv5_2", "conv8") of A-DB's cayley2.

    Args:
      tensors: name -> array, as read from the file.
      scnn_batch_norm: of the model.

    Raises:
      CheckpointError: a block that is not behind an activation or a pooling.
    """
    indices = _block_indices(without_prefixes(tensors, PREFIXES))
    modules = {"features1": VGG_MODULES, "features2": _scnn_modules(scnn_batch_norm)}
    points = {"features1": "", "features2": ""}
    for branch, index in indices.items():
        before = modules[branch][index - 1] if 0 < index <= len(modules[branch]) else "nothing"
        if not before.endswith("_relu") and not before.startswith("pool"):
            raise CheckpointError(
                f"has a block at {branch}.{index}, behind {before}; it has to follow a ReLU or a pooling"
            )
        points[branch] = before.removesuffix("_relu")
    return points["features1"], points["features2"]


def to_release(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors under the names that `torch_name` (for a file of SCNN alone, `scnn_name`) gives.

    Takes off prefixes, applies pruning masks, leaves out A-DB's normalisation, and undoes its insertion of a block:
    the modules behind it are numbered one higher, and the block's own tensors come twice.
    """
    plain = with_masks_applied(without_prefixes(tensors, PREFIXES))
    indices = _block_indices(plain)
    released = {}
    for name, tensor in plain.items():
        if name.startswith("normalize.") or (indices and is_block(name)):
            continue
        if match := _FEATURE.fullmatch(name):
            branch, index, rest = match[1], int(match[2]), match[3]
            if branch in indices and index == indices[branch]:
                name = f"{_BLOCKS['block' if branch == 'features1' else 'scnn_block']}.{rest}"
            elif branch in indices and index > indices[branch]:
                name = f"{branch}.{index - 1}.{rest}"
        released[name] = tensor
    return released


def _block_indices(tensors: Mapping[str, np.ndarray]) -> dict[str, int]:
    matches = (_BLOCK_MODULE.match(name) for name in tensors)
    return {match[1]: int(match[2]) for match in matches if match}


def _scnn_modules(batch_norm: bool) -> tuple[str, ...]:
    """What SCNN's `features` holds, in order."""
    parts = ("conv{}", "bn{}", "conv{}_relu") if batch_norm else ("conv{}", "conv{}_relu")
    return tuple(part.format(i) for i in range(1, len(scnn.WIDTHS) + 1) for part in parts)


RECORD = Architecture(
    name="dbcnn",
    title="DBCNN",
    paper="arXiv 1907.02665",
    build=lambda spec, bn_axis_name: DBCNN(robust_block(spec), block_at(spec), bn_axis_name=bn_axis_name),
    block_points=lambda spec: BLOCK_POINTS,
    normalisation=lambda spec: (MEAN, STD),
    loss="squared",
    releases=lambda spec: (
        Release("DBCNN", torch_name, is_block, plain=to_release),
        TORCHVISION_VGG.under("vgg"),
        Release("SCNN", scnn_name, is_scnn_classifier, to_release).under("scnn"),
    ),
    presets={"dbcnn": preset(ModelSpec("dbcnn", "vgg16", (), INPUT_SIZE), BlockSpec("conv5_3", 200, "square", 0))},
)
