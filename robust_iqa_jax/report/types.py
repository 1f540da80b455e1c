"""What a report holds: rows as they lie in its files, what is known of the attacks, and all of it together.
Rows are dictionaries because files, CSV writers and data frames take them so; these types say what is in them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Required, TypedDict, cast

from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.eot import EOT
from robust_iqa_jax.attacks.objective import OF_BATCHES
from robust_iqa_jax.attacks.transfer import Transfer

BOTH_WAYS = ("opposite", "change", *OF_BATCHES)
"""Directions that raise some scores and lower others, so that their mean gain cancels out."""

BLIND, FROM = "blind", "from-"
"""What follows the name of an attack that is made on a model without its defence, and, with that one's name, on another
model."""

PLAIN = (float, int, str, type(None))
"""Types of settings that a file of JSON has."""

NAMED = {"suite": "AttackSuite", "uap": "Universal", "stadv": "StAdv"}
"""First word of an attack's name -> its class, where a report asks for one and has a name only."""


class GainRow(TypedDict, total=False):
    """One model under one attack of one size. Measures are those of `metrics.on_scales`, and may be missing in reports
    of other versions."""

    model: Required[str]
    attack: Required[str]
    eps: Required[float | None]
    n: int
    srocc: float | None
    plcc: float | None
    krocc: float | None
    rmse: float | None
    srocc_under_attack: float | None
    abs_gain: Required[float | None]
    abs_gain_baseline_range: Required[float | None]
    abs_gain_raw: Required[float | None]
    relative_gain: float | None
    rscore: float | None
    rscore_baseline_range: float | None
    wasserstein: float | None
    wasserstein_baseline_range: float | None
    wasserstein_raw: float | None
    energy_distance: float | None
    energy_distance_baseline_range: float | None
    energy_distance_raw: float | None
    rank_inversion_rate: float | None


class ModelFacts(TypedDict, total=False):
    """What is known of one model: accuracy, clean range, areas over eps, and from trained models also their baseline,
    label, size and times; "defends" is the model that stands behind a defence at inference."""

    srocc: Required[float | None]
    plcc: float | None
    krocc: float | None
    rmse: float | None
    clean_low: Required[float]
    clean_high: Required[float]
    clean_range_of_baseline: Required[float]
    auc: dict[str, dict[str, float]]
    auc_grid: dict[str, dict[str, Any]]
    baseline: str
    defends: str
    label: str
    parameters: int
    test_seconds: float
    test_photos: int
    train_seconds: float | None
    masking: dict[str, dict[str, Any]]


class ImageRow(TypedDict, total=False):
    """Scores of one image: mos is None, or missing, where there is no opinion score."""

    image: Required[str]
    model: Required[str]
    attack: Required[str]
    eps: Required[float | None]
    clean: Required[float]
    attacked: Required[float]
    mos: float | None


class MovedImage(ImageRow, total=False):
    """One of the images that were moved furthest, with its gain in points and in ranges of the baseline."""

    gain: Required[float]
    gain_baseline_range: Required[float]


class Picture(TypedDict, total=False):
    """What an attack added to an image: a data URI, `amplified` times larger than it is. Of the image that it moved
    furthest also the same part before and after."""

    image: Required[str]
    model: Required[str]
    attack: Required[str]
    eps: Required[float | None]
    amplified: Required[int]
    picture: Required[str]
    before: str
    after: str


@dataclass(frozen=True)
class AttackKind:
    """What a report has to know of an attack besides its name.

    Attributes:
      kind: name of its class.
      one_way: whether it pushes all scores the same way, so that its mean gain says how far they move.
      blind: name of the attack that it is when it is made on the model that it meets; None where it is.
      source: the other model that it is made on; None where that is the same one without its defence, or the same.
      settings: its numbers, names and switches but for eps, so that it can be made again; empty in older reports.
    """

    kind: str
    one_way: bool
    blind: str | None = None
    source: str | None = None
    settings: Mapping[str, float | str | None] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, attack: Attack) -> "AttackKind":
        """Of an attack; from its name where its direction is not among its settings."""
        if isinstance(attack, Transfer):
            source = attack.label.removeprefix(FROM) if attack.label.startswith(FROM) else None
            return replace(cls.of(attack.attack), blind=attack.attack.name, source=source)
        if isinstance(attack, EOT):
            return cls.of(attack.attack)
        direction = getattr(attack, "direction", None)
        one_way = cls.named(attack.name).one_way if direction is None else direction in ("raise", "lower")
        plain = {name: _plain(getattr(attack, name)) for name in (field.name for field in fields(cast(Any, attack)))}
        settings = {name: value for name, value in plain.items() if name != "eps" and isinstance(value, PLAIN)}
        return cls(type(attack).__name__, one_way, settings=settings)

    @classmethod
    def named(cls, name: str) -> "AttackKind":
        """Of a name, for older reports and other people's tables, which have nothing else."""
        first = name.split("-")[0]
        return cls(NAMED.get(first, first), not name.endswith(tuple(f"-{direction}" for direction in BOTH_WAYS)))


def _plain(value: Any) -> Any:
    """A number of an array without dimensions; else what it is."""
    return value.item() if getattr(value, "shape", None) == () else value


@dataclass(frozen=True, eq=False, repr=False)
class ReportData:
    """Results of one or more models. Equal to itself alone and hashed by identity: it holds lists and NaN.

    Attributes:
      rows: one a model, attack and eps.
      models: facts of each model.
      per_image: one a model, attack, eps and image.
      run: what can be told of how they were made: seed, batch size, devices, versions.
      pictures: of what the attacks added to the images that they moved furthest.
      attacks: name -> kind; of the names alone where one is missing.
    """

    rows: list[GainRow]
    models: dict[str, ModelFacts]
    per_image: list[ImageRow]
    run: dict[str, Any] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    attacks: Mapping[str, AttackKind] = field(default_factory=dict)

    def __repr__(self) -> str:
        attacks = dict.fromkeys(row["attack"] for row in self.rows)
        images = len({row["image"] for row in self.per_image})
        return f"Report({', '.join(self.models)} under {', '.join(attacks) or 'no attack'}; {images} images)"

    def kind(self, attack: str) -> AttackKind:
        """What is known of an attack."""
        return self.attacks.get(attack) or AttackKind.named(attack)

    def one_way_attacks(self) -> list[str]:
        """Attacks that push all scores one way, in the order of the rows; without those made on another model, which
        say little."""
        names = dict.fromkeys(row["attack"] for row in self.rows)
        return [name for name in names if self.kind(name).one_way and self.kind(name).blind is None]
