"""Vision transformers ViT-B/8, ViT-B/16 and ViT-Ti/16 as a Flax module with token grids as its feature maps.
Sources: arXiv 2010.11929, 2106.10270; semantics and names of timm/models/vision_transformer.py, layers/pos_embed.py."""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.backbones.named_maps import Insertions, inserted, require_images, require_points, start_index
from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.layers.attention import Mlp, layer_norm, self_attention
from robust_iqa_jax.layers.initializers import fan_in_uniform

MEAN = (0.5, 0.5, 0.5)
"""Mean of the input normalisation (x - MEAN) / STD, in units of [0, 1] pixels."""
STD = (0.5, 0.5, 0.5)
"""Scale of the input normalisation, in units of [0, 1] pixels."""

EPSILON = 1e-6
"""Added to the variance of every layer normalisation."""


@dataclass(frozen=True)
class Variant:
    """Sides of patch and native image in pixels, channels of a token, blocks, heads; the MLP is four times as wide."""

    patch: int
    image: int
    channels: int
    depth: int
    heads: int

    @property
    def grid(self) -> int:
        """Side of the native token grid, that of the learned position embedding."""
        return self.image // self.patch


VARIANTS = {
    "vit_base_patch8_224": Variant(8, 224, 768, 12, 12),
    "vit_base_patch16_224": Variant(16, 224, 768, 12, 12),
    "vit_tiny_patch16_224": Variant(16, 224, 192, 12, 3),
    # ours: small enough for tests, with the 8 x 8 tokens that windows of 4 can be shifted over
    "vit_test_patch8_64": Variant(8, 64, 24, 4, 3),
}


def variant(name: str) -> Variant:
    """The variant of this name; ValueError for an unknown one."""
    if name not in VARIANTS:
        raise ValueError(f"ViT: unknown variant {name!r}; choose one of {', '.join(VARIANTS)}")
    return VARIANTS[name]


def taps(name: str, depth: int | None = None) -> tuple[str, ...]:
    """Names of the feature maps in the order of the network, of all its blocks or the first `depth`.

    "embed" is the sum of patches and positions, "block0" what the first block gives. ValueError for an unknown variant
    or a depth that it does not have.
    """
    blocks = variant(name).depth if depth is None else depth
    if not 1 <= blocks <= variant(name).depth:
        raise ValueError(f"ViT: {name} has {variant(name).depth} blocks, cannot run {blocks}")
    return ("embed", *(f"block{number}" for number in range(blocks)))


def insertion_points(name: str, depth: int | None = None) -> tuple[str, ...]:
    """Where a block can be put: "input" and the maps of `taps`; arguments and errors as there."""
    return ("input", *taps(name, depth))


def resample_positions(positions: Float[Array, "1 t c"], native: int, grid: tuple[int, int]) -> Float[Array, "1 t2 c"]:
    """Position embedding (1, 1 + native^2, c), the class token's first, for another grid (h, w).

    timm's resample_abs_pos_embed: bicubic (Keys, a = -1/2), antialiased where it shrinks, the class token's kept.
    """
    if grid == (native, native):
        return positions
    channels = positions.shape[-1]
    square = positions[:, 1:].reshape(1, native, native, channels)
    resized = jax.image.resize(square, (1, *grid, channels), "cubic", antialias=True)
    return jnp.concatenate([positions[:, :1], resized.reshape(1, -1, channels)], axis=1)


def _dense(features: int, name: str) -> nn.Dense:
    # timm truncates this normal at 2, a hundred deviations away
    return nn.Dense(features, kernel_init=nn.initializers.normal(0.02), name=name)


class PatchProjection(nn.Module):
    """Convolution whose stride is its size: a product over the pixels of each patch; `kernel` (p, p, 3, f), `bias`."""

    features: int
    patch: int

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 f"]:
        """(n, h, w, c) -> (n, h / patch, w / patch, features)."""
        n, h, w, c = x.shape
        p, fan_in = self.patch, self.patch**2 * c
        kernel = self.param("kernel", fan_in_uniform(fan_in), (p, p, c, self.features))
        bias = self.param("bias", fan_in_uniform(fan_in), (self.features,))
        patches = x.reshape(n, h // p, p, w // p, p, c).swapaxes(2, 3).reshape(n, h // p, w // p, fan_in)
        return patches @ kernel.reshape(fan_in, -1) + over(bias, patches)


class SelfAttention(nn.Module):
    """Attention over all tokens; layers `qkv` and `proj`."""

    heads: int

    @nn.compact
    def __call__(self, x: Float[Array, "n t c"]) -> Float[Array, "n t c"]:
        """Apply."""
        return self_attention(x, self.heads, _dense)


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); submodules norm1, attn, norm2, mlp."""

    heads: int

    @nn.compact
    def __call__(self, x: Float[Array, "n t c"]) -> Float[Array, "n t c"]:
        """Apply the block to all tokens, the class token among them."""
        x = x + SelfAttention(self.heads, name="attn")(layer_norm(EPSILON, "norm1")(x))
        return x + Mlp(4 * x.shape[-1], _dense, name="mlp")(layer_norm(EPSILON, "norm2")(x))


class ViT(nn.Module):
    """Normalised images -> every named token grid. Height and width are multiples of the patch, native or not.

    Parameters `cls_token`, `pos_embed` (of the native size); submodules patch_embed_proj, blocks_{0..}, norm, head.

    Attributes:
      name_of_variant: a key of VARIANTS.
      depth: how many of the variant's blocks are run; None runs all.
      include_classifier: adds 'logits' (n, 1000), ImageNet classes.
    """

    name_of_variant: str = "vit_base_patch8_224"
    depth: int | None = None
    include_classifier: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "n h w c"],
        *,
        train: bool,
        insert: Insertions | None = None,
        start: str | None = None,
        class_token: Float[Array, "n c"] | None = None,
    ) -> dict[str, Array]:
        """As named_maps.Backbone, over grids of tokens; insertions and starts at `taps`. `train` makes no difference.

        Args:
          class_token: the class token at `start`, what an earlier run returned as 'block3_class'. It goes around what
            is inserted.

        Returns:
          the grids (n, h / patch, w / patch, c), and beside each the class token (n, c) under its name with '_class'.
          None of them is normalised.

        Raises:
          ValueError: as named_maps.Backbone; sides that are no multiples of the patch, a start without its class token.
        """
        kind, insert = variant(self.name_of_variant), insert or {}
        names = taps(self.name_of_variant, self.depth)
        require_points("ViT", insert, insertion_points(self.name_of_variant, self.depth))
        first = max(0, start_index("ViT", start, names))
        if start is not None and class_token is None:
            raise ValueError(f"ViT: starting at {start!r} needs class_token, the map {start + '_class'!r}")
        maps: dict[str, Array] = {}

        def kept(name: str, grid: Array, token: Array) -> tuple[Array, Array]:
            maps[name] = inserted(insert, name, grid)
            maps[f"{name}_class"] = token
            return maps[name], token

        if start is None:
            x = self._checked(inserted(insert, "input", x), kind.patch)
            x, class_token = self._embedded(x, kind)
        assert class_token is not None
        x, class_token = kept(names[first], x, class_token)
        for number, name in enumerate(names[1:]):
            if number < first:
                continue
            n, h, w, c = x.shape
            tokens = jnp.concatenate([class_token[:, None], x.reshape(n, h * w, c)], axis=1)
            tokens = TransformerBlock(kind.heads, name=f"blocks_{number}")(tokens)
            x, class_token = kept(name, tokens[:, 1:].reshape(n, h, w, c), tokens[:, 0])
        if self.include_classifier:
            maps["logits"] = _dense(1000, "head")(layer_norm(EPSILON, "norm")(class_token))
        return maps

    @staticmethod
    def _checked(x: Array, patch: int) -> Array:
        require_images("ViT", x)
        if x.shape[1] % patch or x.shape[2] % patch:
            raise ValueError(f"ViT: sides {x.shape[1:3]} are not multiples of {patch}; crop or pad the images to some")
        return x

    def _embedded(self, x: Array, kind: Variant) -> tuple[Array, Array]:
        """Patches and class token, each with its position."""
        normal = nn.initializers.normal(0.02)
        x = PatchProjection(kind.channels, kind.patch, name="patch_embed_proj")(x)
        token = self.param("cls_token", normal, (1, 1, kind.channels))
        positions = self.param("pos_embed", normal, (1, 1 + kind.grid**2, kind.channels))
        n, h, w, c = x.shape
        positions = resample_positions(positions, kind.grid, (h, w))
        first = jnp.broadcast_to((token + positions[:, :1])[:, 0], (n, c)).astype(x.dtype)
        return x + positions[:, 1:].reshape(1, h, w, c), first
