"""LinearityIQA: feature maps of a backbone, pooled and regressed to a score; the RobustBlock at a named map.
Sources: arXiv 2008.03889 (model), arXiv 2506.04951 (block)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.pooling import SpspKind, spsp_pool
from robust_iqa_jax.layers.linearity_head import LinearityHead


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
