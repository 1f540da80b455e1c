"""ModelSpec: everything that fixes a model but its weights, as a frozen dataclass that round-trips through JSON.
Preprocessing is part of it, so that no caller can forget the resize (LinearityIQA issue 14: SROCC .834 -> .797)."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from robust_iqa_jax.functional.cayley import Norm
from robust_iqa_jax.functional.pooling import SpspKind
from robust_iqa_jax.layers.cayley_conv import Compat
from robust_iqa_jax.layers.robust_block import Convolution, Pool


@dataclass(frozen=True)
class BlockSpec:
    """Where the RobustBlock sits and how wide it is; see layers.robust_block.RobustBlock for the fields it shares."""

    at: str = "stage5"
    """Named feature map of the backbone that the block replaces; the network goes on from the replaced map. "input" is
    the normalised image; "taps" puts one block on each map that LinearityIQA's head reads and leaves the backbone."""
    mid_channels: int = 96
    pool: Pool = "none"
    padding: int = 1
    norm: Norm = "taps"
    alpha_init: float | None = None
    compat: Compat = "exact"
    """"authors" loses a column of odd maps as the published code does, which its checkpoints were trained with."""
    convolution: Convolution = "cayley"
    """What is orthogonal in the block, one of layers.CONVOLUTIONS; norm, alpha_init and compat are the first one's."""


@dataclass(frozen=True)
class CropSpec:
    """Square windows on a regular grid whose scores are averaged: the same ones at every call, unlike the random crops
    of the sources, whose scores change from run to run (IQA-PyTorch issues 130, 122, 48)."""

    side: int = 224
    rows: int = 5
    columns: int = 5


@dataclass(frozen=True)
class ModelSpec:
    """A quality model."""

    architecture: str = "linearity"  # one of models.architectures
    backbone: str = "efficientnet_lite0"  # one of models.backbone_table
    """LinearityIQA takes any that names feature maps; the other architectures have their own."""
    taps: tuple[str, ...] = ("stage5", "stage6", "stage7")
    """Feature maps that LinearityIQA's head reads, the first where a RobustBlock usually sits. The paper has two; three
    of EfficientNet-Lite0 predict opinion scores better (benchmarks/results)."""
    input_size: tuple[int, int] = (224, 224)
    """(height, width) that images are resized to."""
    crops: CropSpec | None = None
    """Windows of the resized image that the model sees; None: the whole of it."""
    pool_levels: int = 1
    pool_kind: SpspKind = "avg"
    pool_window: int | None = None
    """Of KonCept512, see models.koncept512: 8 for koniq-PyTorch's weights, None for the paper's global pooling."""
    swin_scale: float = 0.8
    """Of MANIQA, see models.maniqa.SCALES."""
    block: BlockSpec | None = None
    inner_widths: tuple[tuple[str, int], ...] = ()
    """Channels of convolutions inside the backbone's blocks, by path, of a model that was pruned and made compact."""

    @property
    def seen_size(self) -> tuple[int, int]:
        """(height, width) that the network itself sees: of a crop where there are crops, else of the whole image."""
        return self.input_size if self.crops is None else (self.crops.side, self.crops.side)

    def to_json(self) -> dict[str, Any]:
        """Plain dict of JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "ModelSpec":
        """Inverse of `to_json`.

        Raises:
          ValueError: unknown field.
        """
        block, crops = fields.get("block"), fields.get("crops")
        try:
            return cls(
                **{
                    **fields,
                    "taps": tuple(fields["taps"]),
                    "inner_widths": tuple((path, int(channels)) for path, channels in fields.get("inner_widths", ())),
                    "input_size": tuple(fields["input_size"]),
                    "crops": None if crops is None else CropSpec(**crops),
                    "block": None if block is None else BlockSpec(**block),
                }
            )
        except (TypeError, KeyError) as error:
            raise ValueError(f"model description: {error}") from error
