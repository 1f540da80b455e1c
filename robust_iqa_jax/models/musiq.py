"""MUSIQ: patches of the photo at its own size and of smaller copies, as tokens of one transformer.
Sources: arXiv 2108.05997; google-research/google-research, musiq (docs/sources.md 2.5); PYIQA (its names)."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.backbones.named_maps import require_images
from robust_iqa_jax.checks import unknown
from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.functional.gaussian_resize import gaussian_resize, size_with_longer_side
from robust_iqa_jax.layers.attention import Mlp, attend, layer_norm, split_heads
from robust_iqa_jax.layers.patch_resnet import PatchResNet, cut_patches
from robust_iqa_jax.models.record import Architecture, Preset, block_at, preset, robust_block
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.weights.conversion import LEAVES, Path, Release, Tensors

MEAN = STD = (0.5, 0.5, 0.5)
"""Of the input normalisation (x - MEAN) / STD, in units of [0, 1] pixels."""
PATCH = 32
"""Side of a patch in pixels; the copies are cut like the photo."""
GRID = 10
"""Side of the grid of positions that the patches of any image are spread over."""
EPSILON = 1e-6
"""Added to the variance of every layer normalisation."""
GRADES = 10
"""Of AVA's raters, 1 to 10."""


@dataclass(frozen=True)
class Variant:
    """Longer sides of the copies in pixels, ascending; channels of the patches' ResNet and of a token; layers, heads
    and channels inside the MLP of the transformer."""

    copies: tuple[int, ...]
    stem: int
    channels: int
    layers: int
    heads: int
    hidden: int

    @property
    def scales(self) -> tuple[str, ...]:
        """Endings of the names of the copies' grids, then "", of the photo's own."""
        return (*(f"_{longer}" for longer in self.copies), "")


VARIANTS = {
    "musiq": Variant((224, 384), 64, 384, 14, 6, 1152),
    # ours: small enough for tests
    "musiq_test": Variant((64, 100), 32, 24, 2, 3, 40),
}
"""By the name that ModelSpec.backbone has."""


def variant(name: str) -> Variant:
    """The variant of this name; ValueError for an unknown one."""
    if name not in VARIANTS:
        raise ValueError(unknown("variant of MUSIQ", name, VARIANTS))
    return VARIANTS[name]


def insertion_points(name: str) -> tuple[str, ...]:
    """Where a block can be put: "input", "patches" before and "embed" behind their positions, each layer's tokens."""
    return ("input", "patches", "embed", *(f"block{number}" for number in range(variant(name).layers)))


class BlockPerScale(nn.Module):
    """A block of its own for every scale, so that nothing of an image goes around: `scales_0` of the smallest copy,
    the last of the photo.

    Attributes:
      block: what is repeated.
      count: number of scales.
    """

    block: nn.Module
    count: int

    def setup(self) -> None:
        """The blocks."""
        self.scales = [self.block.clone(parent=None) for _ in range(self.count)]

    def __call__(self, grids: list[Float[Array, "n h w c"]]) -> list[Float[Array, "n h2 w2 c"]]:
        """Each grid behind its block."""
        return [block(grid) for block, grid in zip(self.scales, grids, strict=True)]  # pyright: ignore[reportCallIssue]


class EncoderLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); submodules norm1, query, key, value, out, norm2, mlp.

    Attributes:
      heads: of the attention.
      hidden: channels inside the MLP.
    """

    heads: int
    hidden: int

    @nn.compact
    def __call__(self, x: Float[Array, "n t c"]) -> Float[Array, "n t c"]:
        """Apply the layer to all tokens."""
        y = layer_norm(EPSILON, "norm1")(x)
        q, k, v = (split_heads(_dense(x.shape[-1], name)(y), self.heads) for name in ("query", "key", "value"))
        x = x + _dense(x.shape[-1], "out")(attend(q, k, v).reshape(x.shape))
        return x + Mlp(self.hidden, _dense, approximate=True, name="mlp")(layer_norm(EPSILON, "norm2")(x))


def _dense(features: int, name: str | None = None) -> nn.Dense:
    return nn.Dense(features, kernel_init=nn.initializers.xavier_uniform(), name=name)


class MUSIQ(nn.Module):
    """Scores of images of any size, on the scale of the training labels (published: 0 to 100, AVA 1 to 10).

    The published code fills the copies' tokens up to a fixed number and masks what it filled in. No weight falls on a
    masked token, so here there are none; all images of a batch have one size, and their tokens one number. No weight
    depends on the size: with another input_size in its spec a scorer reads other photos pixel by pixel.

    Parameters pos_embedding, scale_embedding, cls; submodules stem, embedding, layer_{0..}, norm, head; `block` where
    there is one.

    Attributes:
      name_of_variant: a key of VARIANTS.
      grades: outputs of the head: 1, the score, or grades 1, 2, ..., whose mean by the head's softmax is the score.
      block: at "input" a module images to images, elsewhere a BlockPerScale, from whose result the network goes on. It
        may change height and width of the grids. The class token, which no image enters before the first layer, goes
        around it.
      block_at: one of `insertion_points`.
    """

    name_of_variant: str = "musiq"
    grades: int = 1
    block: nn.Module | None = None
    block_at: str = ""

    def setup(self) -> None:
        """The layers."""
        kind, normal = variant(self.name_of_variant), nn.initializers.normal(0.02)
        self.stem = PatchResNet(kind.stem)
        self.embedding = _dense(kind.channels)
        self.pos_embedding = self.param("pos_embedding", normal, (1, GRID**2, kind.channels))
        self.scale_embedding = self.param("scale_embedding", normal, (1, len(kind.scales), kind.channels))
        self.cls = self.param("cls", nn.initializers.zeros, (1, 1, kind.channels))
        self.layer = [EncoderLayer(kind.heads, kind.hidden) for _ in range(kind.layers)]
        self.norm = nn.LayerNorm(epsilon=EPSILON, use_fast_variance=False)
        self.head = nn.Dense(self.grades)

    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n 1"]:
        """Images (n, h, w, 3), normalised as (pixels - MEAN) / STD -> their scores; `train` makes no difference.

        Raises:
          ValueError: not such images, an unknown `block_at`.
        """
        return self.score(self.features(x)["encoded"])

    def score(self, encoded: Float[Array, "n c"]) -> Float[Array, "n 1"]:
        """The map "encoded" -> scores."""
        outputs = self.head(encoded)
        if self.grades == 1:
            return outputs
        grades = jnp.arange(1, self.grades + 1, dtype=outputs.dtype)
        return (jax.nn.softmax(outputs) * over(grades, outputs)).sum(-1, keepdims=True)

    def features(self, x: Float[Array, "n h w c"]) -> dict[str, Array]:
        """Every named map, after insertion; arguments and errors as in `__call__`.

        Returns:
          at each of `insertion_points` but the first the photo's grid (n, rows, columns, c), the copies' beside it with
          their longer side in the name ("embed_224"), and of the layers the class token (n, c), "block0_class";
          "encoded" (n, c), the last class token normalised.
        """
        kind, points = variant(self.name_of_variant), insertion_points(self.name_of_variant)
        require_images("MUSIQ", x)
        if self.block is not None and self.block_at not in points:
            raise ValueError(f"MUSIQ: cannot put a block at {self.block_at!r}; choose one of {', '.join(points)}")
        maps: dict[str, Array] = {}

        def kept(name: str, grids: list[Array]) -> list[Array]:
            if self.block is not None and self.block_at == name:
                grids = self.block(grids)  # pyright: ignore[reportCallIssue]
            maps.update({name + scale: grid for scale, grid in zip(kind.scales, grids, strict=True)})
            return grids

        if self.block is not None and self.block_at == "input":
            x = self.block(x)  # pyright: ignore[reportCallIssue]
        own = (x.shape[1], x.shape[2])
        copies = [gaussian_resize(x, size_with_longer_side(own, longer)) for longer in kind.copies]
        grids = kept("patches", self._embedded([*copies, x]))
        grids = kept("embed", [grid + self._place(grid, scale) for scale, grid in enumerate(grids)])
        token = jnp.broadcast_to(self.cls.astype(x.dtype), (len(x), 1, kind.channels))
        for number, layer in enumerate(self.layer):
            sizes = [grid.shape for grid in grids]
            tokens = layer(jnp.concatenate([token, *(_flat(grid) for grid in grids)], axis=1))
            ends = np.cumsum([1, *(h * w for _, h, w, _ in sizes)]).tolist()
            token, *parts = jnp.split(tokens, ends[:-1], axis=1)
            grids = kept(f"block{number}", [part.reshape(size) for part, size in zip(parts, sizes, strict=True)])
            maps[f"block{number}_class"] = token[:, 0]
        maps["encoded"] = self.norm(token[:, 0])
        return maps

    def _embedded(self, images: list[Array]) -> list[Array]:
        """Grids of the images' patches, all of them through the stem at once."""
        cut = [cut_patches(image, PATCH) for image in images]
        n, sizes = len(images[0]), [patches.shape[1:3] for patches in cut]
        joined = jnp.concatenate([patches.reshape(n, -1, PATCH, PATCH, 3) for patches in cut], axis=1)
        maps = self.stem(joined.reshape(-1, PATCH, PATCH, 3))
        tokens = self.embedding(maps.reshape(*joined.shape[:2], -1))
        parts = jnp.split(tokens, np.cumsum([h * w for h, w in sizes])[:-1].tolist(), axis=1)
        return [part.reshape(n, *size, -1) for part, size in zip(parts, sizes, strict=True)]

    def _place(self, grid: Array, scale: int) -> Float[Array, "1 h w c"]:
        """Embedding of each position of a grid, and of its scale."""
        rows, columns = (hashed_positions(count) for count in grid.shape[1:3])
        places = self.pos_embedding[0][rows[:, None] * GRID + columns]
        return over(places, grid) + over(self.scale_embedding[0, scale], grid)


def hashed_positions(count: int) -> np.ndarray:
    """Row (or column) of the grid of positions for each of `count` rows of patches: floor(i GRID / count), in float32
    as the published code, which takes nearest neighbours."""
    at = np.arange(count, dtype=np.float32) * (np.float32(GRID) / np.float32(count))
    return np.minimum(np.floor(at).astype(int), GRID - 1)


def _flat(grid: Array) -> Array:
    return grid.reshape(grid.shape[0], -1, grid.shape[-1])


_PLACES = {
    "pos_embedding": ("posembed_input/pos_embedding", "posembed_input.position_emb"),
    "scale_embedding": ("scaleembed_input/scale_embedding", "scaleembed_input.scale_emb"),
    "cls": ("cls", "cls"),
    "norm": ("encoder_norm", "encoder_norm"),
}
"""Parts beside the layers that the releases count to the transformer: in the original, in IQA-PyTorch."""
_PARTS = {
    "norm1": "LayerNorm_0",
    "norm2": "LayerNorm_2",
    "mlp": "MlpBlock_3",
    "fc1": "Dense_0",
    "fc2": "Dense_1",
    **{name: f"MultiHeadDotProductAttention_1/{name}" for name in ("query", "key", "value", "out")},
}
_HEADS = re.compile(r"(?:^|/)(query|key|value|out)/(kernel|bias)$")
_IMAGENET = 1000


def flax_name(path: Path) -> str:
    """The original's name of a variable, behind "opt/target/": (params, layer_0, norm1, scale) ->
    Transformer/encoderblock_0/LayerNorm_0/scale."""
    _, part, *rest = path
    if part in _PLACES:
        return "/".join(["Transformer", _PLACES[part][0], *rest])
    if part == "stem":
        return "/".join(rest if rest[0].endswith("_root") else ["block1", "unit1", *rest])
    if number := re.fullmatch(r"layer_(\d+)", part):
        return "/".join(["Transformer", f"encoderblock_{number[1]}", *(_PARTS.get(name, name) for name in rest)])
    return "/".join([part, *rest])


def torch_name(path: Path, grades: int = 1) -> str:
    """IQA-PyTorch's name of a variable; its head of several grades is the first of a sequence."""
    _, part, *rest = path
    if part == "block":  # which it has not
        return "/".join(path)
    rest = [*rest[:-1], *(LEAVES[leaf] for leaf in rest[-1:])]
    if part in _PLACES:
        return ".".join(["transformer_encoder", _PLACES[part][1], *rest])
    if part == "stem":
        return ".".join(rest if rest[0].endswith("_root") else ["block1", *rest])
    if number := re.fullmatch(r"layer_(\d+)", part):
        attention = ["attention"] if rest[0] in ("query", "key", "value", "out") else []
        return ".".join(["transformer_encoder.transformer", f"encoderblock_{number[1]}", *attention, *rest])
    return ".".join(["head.0" if part == "head" and grades > 1 else part, *rest])


def with_joined_heads(tensors: Tensors, heads: int) -> Tensors:
    """The original's tensors with the axes of heads and of their channels as one, and without a classifier of ImageNet.

    Tensors of another number of heads stay as they are, of a shape that the model does not have.
    """
    joined = {}
    for name, array in tensors.items():
        if re.search(r"(?:^|/)head/(kernel|bias)$", name) and array.shape[-1] == _IMAGENET:
            continue
        if match := _HEADS.search(name):
            first = 1 if match[1] != "out" and match[2] == "kernel" else 0
            split = array.ndim == (3 if match[2] == "kernel" else 2) and array.shape[first] == heads
            if split:
                both = math.prod(array.shape[first : first + 2])
                array = array.reshape(*array.shape[:first], both, *array.shape[first + 2 :])
        joined[name] = array
    return joined


def with_third_axis(tensors: Tensors) -> Tensors:
    """IQA-PyTorch's tensors, the scales' embedding with its first axis of one: no matrix to transpose."""
    name = f"transformer_encoder.{_PLACES['scale_embedding'][1]}"
    return {**tensors, name: tensors[name][None]} if name in tensors and tensors[name].ndim == 2 else tensors


def _releases(grades: int) -> Callable[[ModelSpec], tuple[Release, ...]]:
    def releases(spec: ModelSpec) -> tuple[Release, ...]:
        heads = variant(spec.backbone).heads
        return (
            Release("google-research", flax_name, plain=partial(with_joined_heads, heads=heads), axes={}),
            Release("IQA-PyTorch", partial(torch_name, grades=grades), plain=with_third_axis),
        )

    return releases


def _build(grades: int) -> Callable[[ModelSpec, str | None], MUSIQ]:
    def build(spec: ModelSpec, bn_axis_name: str | None) -> MUSIQ:
        block, at = robust_block(spec), block_at(spec)
        scales = len(variant(spec.backbone).scales)
        return MUSIQ(spec.backbone, grades, BlockPerScale(block, scales) if block and at != "input" else block, at)

    return build


def _pretrained(spec: ModelSpec) -> Mapping[str, Mapping[str, object]]:
    raise ValueError(
        "no installable package carries weights of MUSIQ: convert a published checkpoint with `riqa convert FILE OUT "
        "--model musiq` (imagenet_pretrain.npz: --allow-missing) and start from OUT"
    )


def _preset(architecture: str, size: tuple[int, int]) -> Preset:
    # the block's place and width are ours: before the positions, which it need not pass on
    return preset(ModelSpec(architecture, "musiq", (), size), BlockSpec("patches", 96, "none", 1))


RECORD = Architecture(
    name="musiq",
    title="MUSIQ",
    paper="arXiv 2108.05997",
    build=_build(1),
    block_points=lambda spec: insertion_points(spec.backbone),
    normalisation=lambda spec: (MEAN, STD),
    loss="absolute",
    releases=_releases(1),
    presets={"musiq": _preset("musiq", (768, 1024))},  # KonIQ's photos
    score_range=(0, 100),
    pretrained=_pretrained,
)

AVA_RECORD = dataclasses.replace(
    RECORD,
    name="musiq-ava",
    title="MUSIQ of grades",
    build=_build(GRADES),
    releases=_releases(GRADES),
    presets={"musiq-ava": _preset("musiq-ava", (480, 640))},
    score_range=(1, GRADES),
)
"""Of models that predict how raters' grades are distributed; the score is the mean grade."""
