"""Architectures: how a ModelSpec becomes a module, what its input is, where a RobustBlock can sit.
A new architecture is one row."""

from collections.abc import Callable
from dataclasses import dataclass

import flax.linen as nn

from robust_iqa_jax.backbones import inception_resnet_v2, resnet, vgg
from robust_iqa_jax.checks import unknown
from robust_iqa_jax.layers.robust_block import RobustBlock
from robust_iqa_jax.models import dbcnn, hyper_iqa, koncept512, maniqa, tres
from robust_iqa_jax.models.backbone_table import backbone
from robust_iqa_jax.models.linearity_iqa import LinearityIQA
from robust_iqa_jax.models.spec import ModelSpec

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class ArchitectureEntry:
    """One architecture.

    Attributes:
      paper: arXiv number or venue.
      build: (spec, bn_axis_name) -> module.
      block_points: spec -> names where a RobustBlock can sit.
      normalisation: spec -> (mean, std) of [0,1] pixels.
      score_range: of the published weights on their own data set, higher is better; None: the scale is free and comes
        with the checkpoint's calibration.
      reads_maps: whether the module is a head on pooled maps of a backbone: `features` and `regress`, and a call that
        takes `train_backbone_stats` and `start`, as LinearityIQA's does.
    """

    paper: str
    build: Callable[[ModelSpec, str | None], nn.Module]
    block_points: Callable[[ModelSpec], tuple[str, ...]]
    normalisation: Callable[[ModelSpec], Normalisation]
    score_range: tuple[float, float] | None = None
    reads_maps: bool = False


def architecture(spec: ModelSpec) -> ArchitectureEntry:
    """The row of a spec's architecture; ValueError for an unknown one."""
    if spec.architecture not in ARCHITECTURES:
        raise ValueError(unknown("architecture", spec.architecture, ARCHITECTURES))
    return ARCHITECTURES[spec.architecture]


def robust_block(spec: ModelSpec) -> RobustBlock | None:
    """The block that a spec asks for."""
    if spec.block is None:
        return None
    fields = spec.block
    return RobustBlock(fields.mid_channels, fields.pool, fields.padding, fields.norm, fields.alpha_init, fields.compat)


def _block_at(spec: ModelSpec) -> str:
    return "" if spec.block is None else spec.block.at


def _linearity(spec: ModelSpec, bn_axis_name: str | None) -> nn.Module:
    entry = backbone(spec.backbone)
    for name in spec.taps:
        if name not in entry.taps:
            raise ValueError(f"{spec.backbone}: no feature map {name!r}; choose one of {', '.join(entry.taps)}")
    network = entry.build(bn_axis_name)
    if spec.inner_widths and not hasattr(network, "inner_widths"):
        raise ValueError(f"{spec.backbone}: its blocks have fixed widths; ResNet and EfficientNet-Lite take others")
    return LinearityIQA(
        backbone=network.clone(inner_widths=spec.inner_widths) if spec.inner_widths else network,
        taps=spec.taps,
        block=robust_block(spec),
        block_at=_block_at(spec),
        pool_levels=spec.pool_levels,
        pool_kind=spec.pool_kind,
        bn_axis_name=bn_axis_name,
    )


def _linearity_normalisation(spec: ModelSpec) -> Normalisation:
    entry = backbone(spec.backbone)
    return entry.mean, entry.std


def _koncept512(spec: ModelSpec, bn_axis_name: str | None) -> nn.Module:
    return koncept512.KonCept512(
        block=robust_block(spec), block_at=_block_at(spec), pool_window=spec.pool_window, bn_axis_name=bn_axis_name
    )


def _tres(spec: ModelSpec, bn_axis_name: str | None) -> nn.Module:
    return tres.TReS(block=robust_block(spec), block_at=_block_at(spec), bn_axis_name=bn_axis_name)


def _hyper_iqa(spec: ModelSpec, bn_axis_name: str | None) -> nn.Module:
    return hyper_iqa.HyperIQA(robust_block(spec), _block_at(spec), bn_axis_name=bn_axis_name)


def _dbcnn(spec: ModelSpec, bn_axis_name: str | None) -> nn.Module:
    return dbcnn.DBCNN(robust_block(spec), _block_at(spec), bn_axis_name=bn_axis_name)


def _maniqa(spec: ModelSpec, bn_axis_name: str | None) -> nn.Module:
    return maniqa.MANIQA(scale=spec.swin_scale, block=robust_block(spec), block_at=_block_at(spec))


def _resnet_points(spec: ModelSpec) -> tuple[str, ...]:
    return resnet.insertion_points("resnet50")


ARCHITECTURES: dict[str, ArchitectureEntry] = {
    "linearity": ArchitectureEntry(
        paper="arXiv 2008.03889",
        build=_linearity,
        block_points=lambda spec: (*backbone(spec.backbone).block_points, "taps"),
        normalisation=_linearity_normalisation,
        reads_maps=True,
    ),
    "koncept512": ArchitectureEntry(
        paper="arXiv 1910.06180",
        build=_koncept512,
        block_points=lambda spec: inception_resnet_v2.INSERTION_POINTS,
        normalisation=lambda spec: (koncept512.MEAN, koncept512.STD),
        score_range=(1, 100),
    ),
    "tres": ArchitectureEntry(
        paper="arXiv 2108.06858",
        build=_tres,
        block_points=_resnet_points,
        normalisation=lambda spec: (tres.MEAN, tres.STD),
        score_range=(0, 100),
    ),
    "hyperiqa": ArchitectureEntry(
        paper="CVPR 2020, Su et al.",
        build=_hyper_iqa,
        block_points=_resnet_points,
        normalisation=lambda spec: (resnet.MEAN, resnet.STD),
        score_range=(0, 100),
    ),
    "dbcnn": ArchitectureEntry(
        paper="arXiv 1907.02665",
        build=_dbcnn,
        block_points=lambda spec: dbcnn.BLOCK_POINTS,
        normalisation=lambda spec: (vgg.MEAN, vgg.STD),
    ),
    "maniqa": ArchitectureEntry(
        paper="arXiv 2204.08958",
        build=_maniqa,
        block_points=lambda spec: maniqa.insertion_points("vit_base_patch8_224", (6, 7, 8, 9)),
        normalisation=lambda spec: (maniqa.MEAN, maniqa.STD),
        score_range=(0, 1),
    ),
}
