"""The two tables of the paper's poster, to stand beside a report's own numbers.
Source: poster of arXiv 2506.04951 (docs/sources.md 6.1, 6.2); LinearityIQA stands there for the one over ResNet-101."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedColumn:
    """One measure of a table.

    Attributes:
      title: what the poster calls it.
      measure: of a report that means the same; "" where a report has none. Of a model's facts, unless one of the two
        that follow is given.
      area_under: name of the attack over whose sizes it is an area.
      kind: class of the attacks of whose first it is the mean over sizes.
      digits: as published.
    """

    title: str
    measure: str = ""
    area_under: str = ""
    kind: str = ""
    digits: int = 3


@dataclass(frozen=True)
class PublishedRow:
    """One published model.

    Attributes:
      label: as in the poster.
      names: names of models in a report that are set beside it.
      values: one a column.
    """

    label: str
    names: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class PublishedTable:
    """A table of the poster."""

    key: str
    title: str
    columns: tuple[PublishedColumn, ...]
    rows: tuple[PublishedRow, ...]


DATA = "KonIQ-10k"
"""The photos that both tables are about."""
_ACCURACY = (PublishedColumn("SROCC", "srocc"), PublishedColumn("PLCC", "plcc"))
_PGD = (
    PublishedColumn("PGD-1 AbsGain area", "abs_gain_raw", area_under="pgd-1"),
    PublishedColumn("PGD-1 R-Score area", "rscore_baseline_range", area_under="pgd-1"),
)

POSITIONS = PublishedTable(
    "positions",
    "Published table 1: position of the RobustBlock in LinearityIQA",
    (*_ACCURACY, *_PGD, PublishedColumn("train s/epoch", digits=1), PublishedColumn("test s", digits=1)),
    (
        PublishedRow("base", ("base", "linearity-resnet101"), (0.926, 0.936, 0.409, 0.012, 100.7, 31.7)),
        PublishedRow("AT", ("at", "linearity-resnet101-at"), (0.855, 0.877, 0.209, 0.025, 183.7, 32.2)),
        PublishedRow("NT", ("nt", "linearity-resnet101-nt"), (0.904, 0.921, 0.265, 0.026, 229.6, 33.0)),
        PublishedRow(
            "RobustBlock 1",
            ("with-block-1", "robust-1", "linearity-resnet101-robust-1"),
            (0.766, 0.794, 0.415, 0.018, 131.2, 36.8),
        ),
        PublishedRow(
            "RobustBlock 2",
            ("with-block-2", "robust-2", "linearity-resnet101-robust-2"),
            (0.793, 0.823, 0.508, 0.006, 129.3, 63.9),
        ),
        PublishedRow(
            "RobustBlock 4",
            ("with-block-4", "robust-4", "linearity-resnet101-robust-4"),
            (0.854, 0.876, 0.402, 0.016, 199.6, 103.7),
        ),
        PublishedRow(
            "RobustBlock 6",
            ("with-block", "with-block-6", "robust", "robust-6", "linearity-resnet101-robust"),
            (0.923, 0.936, 0.289, 0.031, 181.8, 89.7),
        ),
    ),
)
"""AbsGain and R-Score are PGD-1 areas, since the base row equals table 2 (docs/sources.md 6.1)."""

DEFENCES = PublishedTable(
    "defences",
    "Published table 2: defences of three models",
    (
        *_ACCURACY,
        *_PGD,
        PublishedColumn("UAP AbsGain", "abs_gain_baseline_range", kind="Universal"),
        PublishedColumn("UAP R-Score", "rscore_baseline_range", kind="Universal"),
        PublishedColumn("stAdv AbsGain", "abs_gain_baseline_range", kind="StAdv"),
        PublishedColumn("stAdv R-Score", "rscore_baseline_range", kind="StAdv"),
    ),
    (
        PublishedRow(
            "Linearity", ("base", "linearity-resnet101"), (0.926, 0.936, 0.409, 0.013, 0.465, 0.463, 0.025, 1.732)
        ),
        PublishedRow(
            "Linearity + NT", ("nt", "linearity-resnet101-nt"), (0.904, 0.921, 0.305, 0.026, 0.190, 0.825, 0.015, 1.937)
        ),
        PublishedRow(
            "Linearity + AT", ("at", "linearity-resnet101-at"), (0.855, 0.877, 0.365, 0.026, 0.322, 0.491, 0.013, 1.985)
        ),
        PublishedRow(
            "Linearity + RobustBlock, pruned",
            ("with-block-pruned", "robust-pruned", "linearity-resnet101-robust-pruned"),
            (0.921, 0.935, 0.261, 0.034, 0.360, 0.668, 0.022, 1.862),
        ),
        PublishedRow("KonCept", ("koncept512",), (0.915, 0.929, 0.359, 0.015, 1.276, 0.293, 0.006, 2.176)),
        PublishedRow("KonCept + NT", ("koncept512-nt",), (0.794, 0.808, 0.122, 0.036, 0.419, 0.608, 0.001, 3.873)),
        PublishedRow("KonCept + AT", ("koncept512-at",), (0.815, 0.850, 0.062, 0.046, 0.633, 0.488, 0.009, 2.386)),
        PublishedRow(
            "KonCept + RobustBlock, pruned",
            ("koncept512-robust-pruned",),
            (0.884, 0.908, 0.244, 0.040, 0.396, 0.413, 0.006, 2.324),
        ),
        PublishedRow("TReS", ("tres",), (0.918, 0.929, 0.300, 0.027, 0.472, 0.181, 0.103, 0.862)),
        PublishedRow("TReS + NT", ("tres-nt",), (0.887, 0.901, 0.307, 0.029, 0.273, 0.395, 0.122, 1.427)),
        PublishedRow("TReS + AT", ("tres-at",), (0.886, 0.904, 0.357, 0.026, 0.426, 0.188, 0.117, 0.846)),
        PublishedRow(
            "TReS + RobustBlock, pruned",
            ("tres-robust-pruned", "tres-robust"),
            (0.919, 0.929, 0.314, 0.029, 0.503, 0.178, 0.051, 0.903),
        ),
    ),
)
"""The poster's text lacks the PGD-8 columns. It and table 1 disagree for NT and AT (docs/sources.md 6.2)."""
