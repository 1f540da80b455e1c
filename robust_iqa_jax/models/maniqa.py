"""MANIQA: token grids of a ViT, attention across their channels, then windows, and a weighted mean of patch scores.
Sources: arXiv 2204.08958 (model); IIGROUP/MANIQA models/maniqa.py, swin.py (details, names, which chaofengc/IQA-PyTorch
shares); arXiv 2506.04951 (RobustBlock), A-MAN model.py (its names)."""

import re
from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.backbones import vit
from robust_iqa_jax.backbones.named_maps import inserted
from robust_iqa_jax.backbones.vit import ViT
from robust_iqa_jax.layers.attention import attend
from robust_iqa_jax.layers.conv import Conv
from robust_iqa_jax.layers.dense import Dense
from robust_iqa_jax.layers.initializers import fan_in_uniform
from robust_iqa_jax.layers.swin import SwinTransformer
from robust_iqa_jax.models.record import Architecture, Preset, block_at, preset, robust_block
from robust_iqa_jax.models.spec import BlockSpec, CropSpec, ModelSpec
from robust_iqa_jax.weights.backbone_names import is_behind_vit, vit_name
from robust_iqa_jax.weights.conversion import Path, Release

MEAN = vit.MEAN
"""Mean of the input normalisation (x - MEAN) / STD, in units of [0, 1] pixels."""
STD = vit.STD
"""Scale of the input normalisation, in units of [0, 1] pixels."""
INPUT_SIZE = (224, 224)
"""Height and width of the crops that the published models read; a photo's score is the mean over its crops."""

SCALES = {"koniq10k": 0.8, "kadid10k": 0.8, "pipal22": 0.13}
"""`scale` of the published models by training set (IIGROUP/MANIQA, predict_one_image.py; chaofengc/IQA-PyTorch)."""

DROPOUT = 0.1
"""Rate behind the attention across channels and inside the two heads."""

STAGES = ("concat", "tab1", "conv1", "swin1", "tab2", "conv2", "swin2")
"""Maps behind the ViT, in the order of the network: the concatenated grids before and behind the attention across
channels, behind the 1x1 convolution to the ViT's width, behind the windows; the second stage alike, half as wide."""


def insertion_points(name_of_vit: str, read: tuple[int, ...]) -> tuple[str, ...]:
    """Where a block can be put: "input", the ViT's "embed" and blocks up to the last one read, and STAGES."""
    return (*vit.insertion_points(name_of_vit, max(read) + 1), *STAGES)


class TransposedAttention(nn.Module):
    """x + attention among channels, each described by its h w values; dense layers `c_q`, `c_k`, `c_v` over positions.

    Their size makes the number of positions part of the weights.
    """

    dropout: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h w c"]:
        """Apply the block."""
        n, h, w, c = x.shape
        channels = x.reshape(n, h * w, c).swapaxes(1, 2)
        q, k, v = (Dense(h * w, name=name)(channels)[:, :, None] for name in ("c_q", "c_k", "c_v"))
        y = attend(q, k, v)[:, :, 0]
        # The public code transposes the result to (positions, channels) and reads it as (channels, positions) without
        # transposing back. The published weights are trained with that mixture.
        y = y.swapaxes(1, 2).reshape(n, c, h * w)
        y = nn.Dropout(DROPOUT)(y, deterministic=not (train and self.dropout))
        return x + y.swapaxes(1, 2).reshape(x.shape)


class MANIQA(nn.Module):
    """Scores of crops of one size, on the scale of the training labels (published: about 0 to 1, higher is better).

    Submodules as in the release, "_" for ".": backbone (its vit), tablock{1,2}_{0..}, conv{1,2}, swintransformer{1,2},
    fc_score_{0,3}, fc_weight_{0,3}; `block` where there is one. The ViT's blocks behind the last one read and the
    release's unused strided convolutions (swintransformer1.downsample) are left out.

    Attributes:
      name_of_vit: a key of backbones.vit.VARIANTS; its native size is the crops'.
      read: numbers of the ViT's blocks whose grids are concatenated.
      scale: factor of what a Swin layer adds, see SCALES.
      depths, heads, side, mlp_features: of the Swin stages.
      channel_blocks: attention blocks across channels in a stage.
      block: module applied to the map `block_at`, from which the network goes on; it must keep height and width, as
        RobustBlock(pool="none", padding=1) does. None for the plain model.
      block_at: one of `insertion_points`.
      dropout: False leaves out dropout and drop path in training; with them it needs the rng "dropout".
    """

    name_of_vit: str = "vit_base_patch8_224"
    read: tuple[int, ...] = (6, 7, 8, 9)
    scale: float = 0.8
    depths: tuple[int, ...] = (2, 2)
    heads: tuple[int, ...] = (4, 4)
    side: int = 4
    mlp_features: int = 768
    channel_blocks: int = 2
    block: nn.Module | None = None
    block_at: str = ""
    dropout: bool = True

    def setup(self) -> None:
        """The layers, under the release's names."""
        width = vit.variant(self.name_of_vit).channels
        self.backbone = ViT(self.name_of_vit, depth=max(self.read) + 1)

        def convolution(inputs: int, features: int) -> Conv:
            init = fan_in_uniform(inputs)
            return Conv(features, 1, use_bias=True, kernel_init=init, bias_init=init)

        def swin() -> SwinTransformer:
            return SwinTransformer(self.depths, self.heads, self.side, self.mlp_features, self.scale, self.dropout)

        self.tablock1 = [TransposedAttention(self.dropout) for _ in range(self.channel_blocks)]
        self.conv1 = convolution(len(self.read) * width, width)
        self.swintransformer1 = swin()
        self.tablock2 = [TransposedAttention(self.dropout) for _ in range(self.channel_blocks)]
        self.conv2 = convolution(width, width // 2)
        self.swintransformer2 = swin()
        self.fc_score_0, self.fc_score_3 = Dense(width // 2), Dense(1)
        self.fc_weight_0, self.fc_weight_3 = Dense(width // 2), Dense(1)
        self.drop = nn.Dropout(DROPOUT)

    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n 1"]:
        """Crops normalised as (pixels - MEAN) / STD -> their scores.

        Args:
          x: (n, h, w, 3) of the ViT's native size.
          train: with dropout and drop path.

        Raises:
          ValueError: images of another size, an unknown `block_at`, a block that changes the size of its map.
        """
        return self.head(self.features(x, train=train)["swin2"], train=train)

    def head(self, x: Float[Array, "n h w c"], *, train: bool = False) -> Float[Array, "n 1"]:
        """The map "swin2" -> mean of the patches' scores (ReLU, so >= 0) by their weights (sigmoid)."""
        score = nn.relu(self._patchwise(self.fc_score_0, self.fc_score_3, x, train))
        weight = nn.sigmoid(self._patchwise(self.fc_weight_0, self.fc_weight_3, x, train))
        # IQA-PyTorch adds 1e-8, A-MAN 1e-6, the release nothing: a bound changes nothing unless all weights vanish.
        return (score * weight).sum((1, 2)) / jnp.maximum(weight.sum((1, 2)), 1e-8)

    def features(self, x: Float[Array, "n h w c"], *, train: bool = False) -> dict[str, Array]:
        """Every named map: the ViT's (see ViT) and STAGES, after insertion; arguments and errors as in `__call__`."""
        kind = vit.variant(self.name_of_vit)
        if x.ndim != 4 or x.shape[1:] != (kind.image, kind.image, 3):
            raise ValueError(
                f"MANIQA: reads crops (n, {kind.image}, {kind.image}, 3), got {x.shape}; "
                "cut crops and average their scores"
            )
        points = insertion_points(self.name_of_vit, self.read)
        insert: dict[str, Callable[[Array], Array]] = {}
        if self.block is not None:
            if self.block_at not in points:
                raise ValueError(f"MANIQA: cannot put a block at {self.block_at!r}; choose one of {', '.join(points)}")
            insert[self.block_at] = self._same_size(self.block)
        maps = self.backbone(x, train=train, insert={name: f for name, f in insert.items() if name not in STAGES})

        def kept(name: str, x: Array) -> Array:
            maps[name] = inserted(insert, name, x)
            return maps[name]

        x = kept("concat", jnp.concatenate([maps[f"block{number}"] for number in self.read], axis=-1))
        stages = (
            (self.tablock1, self.conv1, self.swintransformer1),
            (self.tablock2, self.conv2, self.swintransformer2),
        )
        for number, (attentions, conv, swin) in enumerate(stages, start=1):
            for attention in attentions:
                x = attention(x, train)
            x = kept(f"conv{number}", conv(kept(f"tab{number}", x)))
            x = kept(f"swin{number}", swin(x, train))
        return maps

    def _same_size(self, block: nn.Module) -> Callable[[Array], Array]:
        def apply(x: Array) -> Array:
            y = block(x)  # pyright: ignore[reportCallIssue]
            if y.shape != x.shape:
                raise ValueError(
                    f"MANIQA: the block at {self.block_at!r} makes {y.shape[1:]} of {x.shape[1:]}, and the weights "
                    "need every position; use a block that keeps the size: RobustBlock(pool='none', padding=1)"
                )
            return y

        return apply

    def _patchwise(self, first: nn.Module, last: nn.Module, x: Array, train: bool) -> Array:
        y = nn.relu(first(x))  # pyright: ignore[reportCallIssue]
        return last(self.drop(y, deterministic=not (train and self.dropout)))  # pyright: ignore[reportCallIssue]


DEPTH = 10
"""Blocks of the ViT that the published models read from; the release stores two more."""

_IGNORED = (
    r"swintransformer\d\.downsample\.",  # made by the release's constructor, never applied
    r"swintransformer\d\.layers\.\d+\.blocks\.\d+\.attn_mask$",  # this and the next follow from the sizes
    r"swintransformer\d\.layers\.\d+\.blocks\.\d+\.attn\.relative_position_index$",
)
_AUTHORS = "model."


def torch_name(path: Path) -> str:
    """Name of a variable: (params, tablock1_0, c_q, kernel) -> tablock1.0.c_q.weight; backbone -> vit."""
    collection, module, *rest = path
    return vit_name((collection, "vit" if module == "backbone" else module, *rest))


def ignored(name: str) -> bool:
    """Whether a tensor is one that the release stores and its scores do not depend on, or that follows from sizes."""
    behind = name.startswith("vit.") and is_behind_vit(name.removeprefix("vit."), DEPTH)
    return behind or any(re.match(pattern, name) for pattern in _IGNORED)


def authors_name(path: Path) -> str:
    """Name of a variable in a checkpoint of A-MAN, which saves the model behind its normalisation: model.vit..."""
    return _AUTHORS + torch_name(path)


def authors_ignored(name: str) -> bool:
    """As `ignored`, for A-MAN: also the normalisation's constants, which are MEAN and STD of models.maniqa."""
    return name.startswith("normalize.") or (name.startswith(_AUTHORS) and ignored(name.removeprefix(_AUTHORS)))


def _preset(size: tuple[int, int], crops: CropSpec, trained_on: str) -> Preset:
    plain = ModelSpec("maniqa", "vit_base_patch8_224", (), size, crops, swin_scale=SCALES[trained_on])
    return preset(plain, BlockSpec("concat", 384, "none", 1))


RECORD = Architecture(
    name="maniqa",
    title="MANIQA",
    paper="arXiv 2204.08958",
    build=lambda spec, bn_axis_name: MANIQA(scale=spec.swin_scale, block=robust_block(spec), block_at=block_at(spec)),
    block_points=lambda spec: insertion_points("vit_base_patch8_224", (6, 7, 8, 9)),
    normalisation=lambda spec: (MEAN, STD),
    loss="squared",
    releases=lambda spec: (
        Release("MANIQA", torch_name, ignored),
        Release("MANIQA_dali", authors_name, authors_ignored),
        Release("timm", vit_name, partial(is_behind_vit, depth=DEPTH)).under("backbone"),
    ),
    presets={
        "maniqa": _preset((384, 512), CropSpec(224, 4, 5), "koniq10k"),
        "maniqa-pipal": _preset((224, 224), CropSpec(224, 1, 1), "pipal22"),
    },
    score_range=(0, 1),
)
