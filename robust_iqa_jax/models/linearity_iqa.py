"""LinearityIQA: feature maps of a backbone, pooled and regressed to a score; the RobustBlock at a named map.
Sources: arXiv 2008.03889 (model), arXiv 2506.04951 (block); lidq92/LinearityIQA IQAmodel.py, main.py (names, rescale);
abhhfcgjk/VG_Architectural_Adversarial_Robustness, branches main and Linearity (names of the block, pruning);
wianluna/metrics_at metric_at/model.py (adversarial training)."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.backbones.resnet import VARIANTS
from robust_iqa_jax.functional.pooling import SpspKind, spsp_pool
from robust_iqa_jax.layers.linearity_head import LinearityHead
from robust_iqa_jax.models.backbone_table import BACKBONES, backbone
from robust_iqa_jax.models.record import (
    Architecture,
    Normalisation,
    Preset,
    Rescale,
    StoredRescale,
    block_at,
    preset,
    robust_block,
)
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.setting_error import setting
from robust_iqa_jax.weights.backbone_names import resnet_name, robust_block_name
from robust_iqa_jax.weights.conversion import LEAVES, Path, Release
from robust_iqa_jax.weights.state_dict import with_masks_applied, without_prefixes
from robust_iqa_jax.weights.torch_pickle import CheckpointError


class LinearityIQA(nn.Module):
    """Quality scores on the model's own scale; calibration to a data set's scale is the Scorer's.

    Parameters lie under `backbone`, `block` (where there is one) and `head`.

    Attributes:
      backbone: module with `__call__(x, *, train, insert) -> {map name: map}`.
      taps: names of the maps that the head reads; two in the paper.
      block: module applied to the map `block_at`, from which the backbone goes on; None for the plain model.
      block_at: name of the map, or "input"; "taps": one such block on each tap, for the head only.
      pool_levels, pool_kind: of spsp_pool.
      bn_axis_name: mapped axis for cross-replica batch statistics.
    """

    backbone: nn.Module
    taps: tuple[str, ...]
    block: nn.Module | None = None
    block_at: str = ""
    pool_levels: int = 1
    pool_kind: SpspKind = "avg"
    bn_axis_name: str | None = None

    def setup(self) -> None:
        """The head, and a copy of the block for each tap where that is its place; the rest comes as attributes."""
        self.head = LinearityHead(self.bn_axis_name)
        if self.block is not None and self.block_at == "taps":
            self.tap_blocks = {name: self.block.clone(parent=None) for name in self.taps}

    def __call__(
        self, x: Float[Array, "n h w c"], *, train: bool, train_backbone_stats: bool = True, start: str | None = None
    ) -> Float[Array, "n taps+1"]:
        """Normalised images (n, h, w, 3), any size -> (n, taps + 1): auxiliary scores, then the score.

        Args:
          x: images, or the backbone's map `start`.
          train: batch statistics (and their update) in place of running ones.
          train_backbone_stats: False keeps the backbone on its running statistics in training too.
          start: name of the map that x is, where the layers before it were run elsewhere; None: x is images.
        """
        return self.regress(self.features(x, train=train and train_backbone_stats, start=start), train=train)

    def features(
        self, x: Float[Array, "n h w c"], *, train: bool = False, start: str | None = None
    ) -> list[Float[Array, "n f"]]:
        """Pooled features of each tap, what the head reads; arguments as in `__call__`, train of the backbone.

        The backbone runs in the type of x; what is pooled, and with it the head, is float32 or wider.
        """
        on_taps = self.block_at == "taps"
        insert = {} if self.block is None or on_taps else {self.block_at: self.block}
        maps = self.backbone(x, train=train, insert=insert, start=start)
        if self.block is not None and on_taps:
            maps = {name: self.tap_blocks[name](maps[name]) for name in self.taps}
        wide = (maps[name].astype(jnp.promote_types(maps[name].dtype, jnp.float32)) for name in self.taps)
        return [spsp_pool(x, self.pool_levels, self.pool_kind) for x in wide]

    def regress(self, features: list[Float[Array, "n f"]], *, train: bool) -> Float[Array, "n taps+1"]:
        """What the head makes of `features`; see `__call__`."""
        return self.head(features, train=train)


FEATURES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
"""Children of torchvision's ResNet, in order: the release keeps them in a sequence, by index."""

BLOCKS = {
    "input": "cayley_block1",
    "stem": "cayley_block2",
    "layer1": "cayley_block3",
    "layer2_2": "cayley_block4",
    "layer2": "cayley_block6",
    "layer3": "cayley_block6",
}
"""Where the RobustBlock sits -> its name there. The positions 1, 2, 4 and 6 of the paper are "input", "stem",
"layer2_2" and "layer3". All have pool="square", padding=0, norm="spectrum"."""

RESCALE = ("k", "b", "min", "max")
"""Names of the rescale's values, which stand beside the weights or among them."""


def torch_name(path: Path, block_at: str = "layer3") -> str:
    """The release's name of a variable of LinearityIQA over a ResNet.

    (params, backbone, layer3_0, conv1, kernel) -> features.6.0.conv1.weight; (params, head, tap0_linear1, dense, bias)
    -> dr6.2.bias; tap0_bn1 -> dr6.3; tap0_score -> regr6; tap1_ -> dr7, regr7; score -> regression;
    (params, block, cayley, alpha) -> cayley_block6.conv_cayley.alpha.

    Args:
      path: of the variable.
      block_at: a key of BLOCKS; where the RobustBlock sits, if there is one.

    Raises:
      ValueError: a block where the authors' code has none.
    """
    collection, part, *modules, leaf = path
    if part == "backbone":
        child, _, rest = resnet_name((collection, *modules, leaf)).partition(".")
        return f"features.{FEATURES.index(child)}.{rest}"
    if part == "block":
        if block_at not in BLOCKS:
            raise ValueError(f"LinearityIQA weights: no block at {block_at!r}; choose one of {', '.join(BLOCKS)}")
        return f"{BLOCKS[block_at]}.{robust_block_name((*modules, leaf))}"
    return f"{_head_name(modules[0])}.{LEAVES[leaf]}"


def _head_name(module: str) -> str:
    if module == "score":
        return "regression"
    tap, layer = module.split("_")
    number = 6 + int(tap.removeprefix("tap"))
    if layer == "score":
        return f"regr{number}"
    if layer.startswith("linear"):
        return f"dr{number}.{2 * int(layer.removeprefix('linear'))}"
    return f"dr{number}.{2 * int(layer.removeprefix('bn')) + 1}"


def to_release(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors under the names that `torch_name` gives: of a model wrapped for several devices ("module.") or with its
    normalisation ("model.", beside "normalize.mean" and "normalize.std", which are what the model expects anyway)."""
    plain = without_prefixes(tensors, ("module.", "model."))
    kept = {name: v for name, v in plain.items() if not name.startswith("normalize.") and name not in RESCALE}
    return with_masks_applied(kept)


def rescale(facts: Mapping[str, Any]) -> Rescale | None:
    """The rescale among the plain values of a checkpoint; None where it has no k and b.

    Raises:
      CheckpointError: one of them is no number.
    """
    if not {"k", "b"} <= facts.keys():
        return None
    low, high = (_number(name, facts[name]) if facts.get(name) is not None else None for name in ("min", "max"))
    return Rescale(_number("k", facts["k"]), _number("b", facts["b"]), low, high)


def _number(name: str, value: Any) -> float:
    """The first of a list, an array or a tensor of one axis, or the number itself."""
    try:
        return float(np.ravel(np.asarray(value, np.float64))[0])
    except (TypeError, ValueError, IndexError) as error:
        cure = f"give {setting('slope')} and {setting('intercept')}"
        raise CheckpointError(f"its {name} is {value!r:.40}, not a number; {cure}") from error


POSITIONS = {
    "1": BlockSpec("input", 3, "square", 0),
    "2": BlockSpec("stem", 64, "square", 0),
    "3": BlockSpec("layer1", 256, "square", 0),
    "4": BlockSpec("layer2_2", 128, "square", 0),
    "5": BlockSpec("layer2", 200, "square", 0),
    "6": BlockSpec("layer3", 200, "square", 0),
    "pair": BlockSpec("taps", 200, "square", 0),
}
"""Positions of the block in arXiv 2506.04951 over a bottleneck ResNet; 3, 5 and pair are in its code only."""


def _build(spec: ModelSpec, bn_axis_name: str | None) -> LinearityIQA:
    row = backbone(spec.backbone)
    for name in spec.taps:
        if name not in row.taps:
            raise ValueError(f"{spec.backbone}: no feature map {name!r}; choose one of {', '.join(row.taps)}")
    network = row.build(bn_axis_name)
    if spec.inner_widths and not hasattr(network, "inner_widths"):
        raise ValueError(f"{spec.backbone}: its blocks have fixed widths; ResNet and EfficientNet-Lite take others")
    return LinearityIQA(
        backbone=network.clone(inner_widths=spec.inner_widths) if spec.inner_widths else network,
        taps=spec.taps,
        block=robust_block(spec),
        block_at=block_at(spec),
        pool_levels=spec.pool_levels,
        pool_kind=spec.pool_kind,
        bn_axis_name=bn_axis_name,
    )


def _normalisation(spec: ModelSpec) -> Normalisation:
    row = backbone(spec.backbone)
    return row.mean, row.std


def _releases(spec: ModelSpec) -> tuple[Release, ...]:
    """The authors' own, which are of ResNets with the block at one of BLOCKS, if any; files of the backbone alone."""
    release = backbone(spec.backbone).release
    alone = () if release is None else (release.under("backbone"),)
    at = "layer3" if spec.block is None else spec.block.at
    if spec.backbone not in VARIANTS or at not in BLOCKS:
        return alone
    return (Release("LinearityIQA", partial(torch_name, block_at=at), plain=to_release), *alone)


def _presets() -> dict[str, Preset]:
    return {
        f"linearity-{name}": preset(ModelSpec("linearity", name, row.read, row.input_size), row.block, row.authors)
        for name, row in BACKBONES.items()
    }


RECORD = Architecture(
    name="linearity",
    title="LinearityIQA",
    paper="arXiv 2008.03889",
    build=_build,
    block_points=lambda spec: (*backbone(spec.backbone).block_points, "taps"),
    normalisation=_normalisation,
    loss="norm-in-norm",
    releases=_releases,
    presets=_presets(),
    rescale=StoredRescale("k and b, LinearityIQA's rescale", rescale),
    reads_maps=True,
)
