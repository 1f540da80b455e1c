"""TReS: four maps of a ResNet, L2-pooled to one grid and read by a transformer encoder; the RobustBlock at any map.
Sources: arXiv 2108.06858, isalirezag/TReS models.py and transformers.py; chaofengc/IQA-PyTorch tres_arch.py (names);
arXiv 2506.04951 (block), branch TReS of abhhfcgjk/VG_Architectural_Adversarial_Robustness (its names)."""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.backbones.resnet import MEAN, STD, TAPS, ResNet, insertion_points, tap_channels
from robust_iqa_jax.devices import all_rows, mean_over_devices
from robust_iqa_jax.functional.pooling import l2_pool
from robust_iqa_jax.layers.dense import Dense
from robust_iqa_jax.layers.transformer_encoder import TransformerEncoder, sine_position_encoding
from robust_iqa_jax.losses.objective import Apply
from robust_iqa_jax.losses.tres import self_consistency, tres_loss
from robust_iqa_jax.models.record import Architecture, block_at, preset, robust_block
from robust_iqa_jax.models.spec import BlockSpec, CropSpec, ModelSpec
from robust_iqa_jax.weights.backbone_names import TORCHVISION_RESNET, resnet_name, robust_block_name
from robust_iqa_jax.weights.conversion import LEAVES, Path, Release

INPUT_SIZE = (224, 224)
"""(height, width) of the crops that the published model reads; its score of an image is the mean over 50 of them."""
MAP_DROPOUT = 0.1
"""Rate of dropped entries of the L2-pooled maps."""
ENCODER_DROPOUT = 0.5
"""Rate of dropout everywhere in the encoder."""


class View(NamedTuple):
    """What the losses need of one view of the images.

    Attributes:
      score: (n, 1).
      encoded: (n, h, w, d), the encoder's output on the grid of layer4.
      layer4: (n, h, w, c), the backbone's last map.
    """

    score: Float[Array, "n 1"]
    encoded: Float[Array, "n h w d"]
    layer4: Float[Array, "n h w c"]


class TReS(nn.Module):
    """Normalised crops -> scores, on the scale of the labels that the model was trained on.

    Parameters lie under `backbone`, `block` (where there is one), `transformer`, `fc2` and `fc`.

    Attributes:
      variant: of the ResNet; the published weights are resnet50's.
      layers, heads, feedforward: of the encoder, whose features are those of layer1 to layer4 together (3840).
      dropout: False drops nothing in training.
      block: module applied to the backbone's map `block_at`, from which the backbone goes on; the paper's for TReS is
        RobustBlock(512, padding=1) at "layer3". It has to keep the size of its map. None for the plain model.
      block_at: an insertion point of backbones.resnet.
      bn_axis_name: mapped axis for cross-replica batch statistics.
    """

    variant: str = "resnet50"
    layers: int = 2
    heads: int = 16
    feedforward: int = 64
    dropout: bool = True
    block: nn.Module | None = None
    block_at: str = ""
    bn_axis_name: str | None = None

    def setup(self) -> None:
        """Backbone, encoder and the two linear layers; the block comes as an attribute."""
        self.backbone = ResNet(self.variant, bn_axis_name=self.bn_axis_name)
        self.map_dropout = nn.Dropout(MAP_DROPOUT)
        rate = ENCODER_DROPOUT if self.dropout else 0.0
        self.transformer = TransformerEncoder(self.layers, self.heads, self.feedforward, rate)
        self.fc2, self.fc = Dense(tap_channels(self.variant)["layer4"]), Dense(1)

    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n 1"]:
        """Scores of the images as they are: one pass, which is what the published model's score depends on.

        Args:
          x: (n, h, w, 3) pixels normalised as (pixels - MEAN) / STD, sides multiples of 32 (published: INPUT_SIZE).
          train: batch statistics (updating 'batch_stats') and dropout (rng "dropout").

        Raises:
          ValueError: sides that are no multiples of 32, a block that changes its map's size, or what ResNet refuses.
        """
        return self._view(x, train, drop_maps=True).score

    def both_views(self, x: Float[Array, "n h w c"], *, train: bool) -> tuple[View, View]:
        """The images and their horizontal flips, for losses.tres; arguments and errors as in `__call__`.

        Two passes, the images first; batch statistics move at each. The maps of the flipped view are not dropped out,
        as published; the encoder drops out in both.
        """
        return self._view(x, train, drop_maps=True), self._view(jnp.flip(x, 2), train, drop_maps=False)

    def pooled_maps(
        self, x: Float[Array, "n h w c"], *, train: bool, drop_maps: bool = False
    ) -> tuple[Float[Array, "n h w d"], Float[Array, "n h w c"]]:
        """What the encoder reads, the four maps pooled to layer4's grid, and layer4; arguments as in `__call__`."""
        insert = {} if self.block is None else {self.block_at: self.block}
        maps = self.backbone(x, train=train, insert=insert)
        n, height, width, _ = maps["layer4"].shape
        pooled = []
        for name, side in zip(TAPS[1:], (8, 4, 2, 1), strict=True):
            if maps[name].shape[1:3] != (height * side, width * side):
                raise ValueError(
                    f"TReS: {name} is {maps[name].shape[1:3]}, not {side} times layer4's {(height, width)}; "
                    "images need sides that are multiples of 32, and a block has to keep the size of its map"
                )
            y = l2_pool(normalised(maps[name]))
            y = self.map_dropout(y, deterministic=not (train and drop_maps and self.dropout))
            pooled.append(y.reshape(n, height, side, width, side, -1).mean((2, 4)))
        return jnp.concatenate(pooled, axis=-1), maps["layer4"]

    def _view(self, x: Array, train: bool, drop_maps: bool) -> View:
        pooled, layer4 = self.pooled_maps(x, train=train, drop_maps=drop_maps)
        n, height, width, features = pooled.shape
        positions = sine_position_encoding((height, width), features, dtype=pooled.dtype)
        tokens = self.transformer(pooled.reshape(n, -1, features), positions.reshape(-1, features), train=train)
        read = jnp.concatenate([self.fc2(tokens.mean(1)), layer4.mean((1, 2))], axis=-1)
        return View(self.fc(read), tokens.reshape(pooled.shape), layer4)


def normalised(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """x / max(|x|_2, 1e-12) over channels; the gradient is finite where all channels are 0."""
    squares = jnp.sum(x**2, axis=-1, keepdims=True)
    return x / jnp.sqrt(jnp.maximum(squares, 1e-24))


def both_views_loss(
    apply: Apply,
    variables: dict[str, Any],
    x: Array,
    mos: Array,
    rngs: dict[str, Array],
    *,
    axis_name: str | None = None,
    **options: Any,
) -> tuple[Array, dict[str, Any]]:
    """The objective of losses.tres on a batch that is spread over `axis_name`; arguments as in losses.objective.

    Two runs, of the images and of their flips, each of which sees both views; batch statistics go on from the first to
    the second.
    """
    scores: list[Array] = []
    consistencies: list[Array] = []
    for i, images in enumerate((x, jnp.flip(x, 2))):
        rngs = {name: jax.random.fold_in(key, i) for name, key in rngs.items()}
        (view, other), moved = apply(
            variables, images, train=True, rngs=rngs, mutable=["batch_stats"], method="both_views", **options
        )
        variables = {**variables, **moved}
        scores.append(all_rows(view.score[:, 0], axis_name))
        consistency = self_consistency(view.encoded, other.encoded, view.layer4, other.layer4)
        consistencies.append(mean_over_devices(consistency, axis_name))
    loss = tres_loss(scores[0], scores[1], consistencies[0], consistencies[1], all_rows(mos, axis_name))
    return loss, {"batch_stats": variables["batch_stats"]}


def torch_name(path: Path) -> str:
    """The release's name of a variable of TReS.

    (params, backbone, layer3_0, conv1, kernel) -> model.layer3.0.conv1.weight;
    (params, transformer, layer0, self_attn, in_proj, kernel) -> transformer.encoder.layers.0.self_attn.in_proj_weight;
    (params, block, cayley, alpha) -> model.cayley.conv_cayley.alpha, wherever the block sits.
    """
    collection, part, *modules, leaf = path
    if part == "backbone":
        return "model." + resnet_name((collection, *modules, leaf))
    if part == "block":
        return "model.cayley." + robust_block_name((*modules, leaf))
    if part == "transformer":
        layer, *inner = modules
        names = ["transformer", "encoder", layer, *inner]
        if layer.startswith("layer"):
            names[2:3] = ["layers", layer.removeprefix("layer")]
        joint = "_" if names[-1] == "in_proj" else "."  # the one tensor that torch keeps outside a layer
        return ".".join(names) + joint + LEAVES[leaf]
    return f"{part}.{LEAVES[leaf]}"


def is_ignored(name: str) -> bool:
    """Whether a tensor is the backbone's classifier, which no score depends on, or a window of the L2 pooling."""
    return name.startswith("model.fc.") or (name.startswith("L2pooling_l") and name.endswith(".filter"))


RECORD = Architecture(
    name="tres",
    title="TReS",
    paper="arXiv 2108.06858",
    build=lambda spec, bn_axis_name: TReS(block=robust_block(spec), block_at=block_at(spec), bn_axis_name=bn_axis_name),
    block_points=lambda spec: insertion_points("resnet50"),
    normalisation=lambda spec: (MEAN, STD),
    loss="absolute",
    objective=lambda axis_name: partial(both_views_loss, axis_name=axis_name),
    releases=lambda spec: (Release("TReS", torch_name, is_ignored), TORCHVISION_RESNET.under("backbone")),
    presets={
        "tres": preset(
            ModelSpec("tres", "resnet50", (), (384, 512), CropSpec(224, 5, 10)),
            BlockSpec("layer3", 512, "none", 1),
            authors=True,
        )
    },
    score_range=(0, 100),
)
