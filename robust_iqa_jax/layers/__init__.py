"""Flax Linen modules over robust_iqa_jax.functional; these names are the room's public ones (docs/layers.md)."""

from robust_iqa_jax.layers.aol_conv import AOLConv
from robust_iqa_jax.layers.bcop_conv import BCOPConv
from robust_iqa_jax.layers.bro_conv import BROConv
from robust_iqa_jax.layers.cayley_conv import WARM_STARTS, CayleyConv
from robust_iqa_jax.layers.group_sort import GroupSort
from robust_iqa_jax.layers.invertible_downsampling import InvertibleDownsampling
from robust_iqa_jax.layers.orthogonal_conv import OPERATORS, prepared
from robust_iqa_jax.layers.robust_block import CONVOLUTIONS, RobustBlock
from robust_iqa_jax.layers.sll_conv import SLLConv

__all__ = [
    "CONVOLUTIONS",
    "OPERATORS",
    "WARM_STARTS",
    "AOLConv",
    "BCOPConv",
    "BROConv",
    "CayleyConv",
    "GroupSort",
    "InvertibleDownsampling",
    "RobustBlock",
    "SLLConv",
    "prepared",
]
