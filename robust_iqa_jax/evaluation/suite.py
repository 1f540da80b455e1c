"""SuiteConfig: models times data times attacks times sizes, as one frozen dataclass that a file's get_config() returns.
`riqa evaluate SUITE.py` runs it, `riqa report` shows it."""

import base64
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from robust_iqa_jax.attacks import registry
from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.fitting import Fitting
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.evaluation.results import ResultFolder, cached

DEFAULT_EPS = (2 / 255, 4 / 255, 6 / 255, 8 / 255, 10 / 255)


@dataclass(frozen=True)
class SuiteAttack:
    """One attack at several sizes.

    Attributes:
      name: in attacks.registry.
      eps: sizes in [0,1] pixels; of no meaning for an attack without a ball, which runs once.
      settings: fields of the attack besides eps.

    Raises:
      ValueError: no such attack, a setting that it has not, or settings that it refuses.
    """

    name: str
    eps: tuple[float, ...] = DEFAULT_EPS
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the settings by making the attacks."""
        self.make()

    def make(self) -> list[Any]:
        """The configured attacks, one a size."""
        if "eps" in self.settings or not isinstance(self.eps, tuple):
            raise ValueError(f"suite: {self.name}: sizes are a tuple beside the settings, such as eps=(4 / 255,)")
        if registry.entry(self.name).eps is None:
            return [registry.make(self.name, **self.settings)]
        if not self.eps:
            raise ValueError(f"suite: {self.name}: give at least one eps")
        return [registry.make(self.name, eps=eps, **self.settings) for eps in self.eps]

    @property
    def fitted(self) -> bool:
        """Whether it is fitted on photos first."""
        return registry.entry(self.name).fitted

    def on(
        self, scorer: ScoreFunction, key: Any, photos: Images | None, results: ResultFolder | None = None
    ) -> list[Attack]:
        """Attacks ready to run against a scorer; those to fit are fitted on `photos`, which are not evaluated on.

        Args:
          scorer, key, photos: as an attack's `fit` takes them; only fitted attacks look at them.
          results: where fitted ones are stored.

        Raises:
          ValueError: an attack to fit and no photos.
        """
        if not self.fitted:
            return self.make()
        if photos is None:
            raise ValueError(f"suite: {self.name} is fitted on photos that are not evaluated on; set fit_photos")
        return [_fitted(attack, scorer, key, photos, results) for attack in self.make()]


def _fitted(fitting: Fitting, scorer: ScoreFunction, key: Any, photos: Images, results: ResultFolder | None) -> Attack:
    """A fitted attack, from the results where it is there."""

    def leaves() -> list[dict[str, Any]]:
        return [_packed(np.asarray(leaf)) for leaf in jax.tree.leaves(fitting.fit(scorer, key, photos))]

    _, height, width, channels = photos.shape
    made = jax.eval_shape(lambda key: fitting.fitted(fitting.start(key, (height, width, channels))), jax.random.key(0))
    stored = cached(results, f"{fitting.label}, fitted", leaves, "fitted", fitting, scorer, key, photos)
    return jax.tree.unflatten(jax.tree.structure(made), map(_unpacked, stored))


def _packed(array: np.ndarray) -> dict[str, Any]:
    return {
        "type": str(array.dtype),
        "shape": array.shape,
        "base64": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode(),
    }


def _unpacked(stored: dict[str, Any]) -> np.ndarray | float:
    array = np.frombuffer(base64.b64decode(stored["base64"]), stored["type"]).reshape(stored["shape"])
    return array if array.ndim else array.item()


@dataclass(frozen=True)
class SuiteData:
    """Photos to evaluate on.

    Attributes:
      data: label table (CSV or .mat), folder of an unpacked archive, or the embedded set "distorted-photos".
      test_group: value of its split or fold column.
      attack_photos: photos attacked, evenly spread over the group; all where None. Accuracy is over the whole group.
      fit_photos: photos of the other groups that universal perturbations are fitted on.
    """

    data: str = "distorted-photos"
    test_group: str = "test"
    attack_photos: int | None = None
    fit_photos: int = 0


@dataclass(frozen=True)
class SuiteConfig:
    """What is evaluated on what.

    Attributes:
      models: name -> checkpoint or work folder.
      data: name -> photos.
      attacks: what runs.
      seed: of the attacks' random starts.
      batch_size: most images a call.
      baselines: name -> the undefended model whose score range scales its headline; the first model where not given.
      masking: also check every model for masked gradients, on the attacked photos.
      transfer: also attack every model with what was made on each of the others.

    Raises:
      ValueError: no model, no photos or no attack, or baselines of or among other models.
    """

    models: dict[str, str]
    data: dict[str, SuiteData] = field(default_factory=lambda: {"distorted-photos": SuiteData()})
    attacks: tuple[SuiteAttack, ...] = (
        SuiteAttack("pgd", settings={"steps": 1}),
        SuiteAttack("pgd", settings={"steps": 8}),
    )
    seed: int = 0
    batch_size: int = 8
    baselines: dict[str, str] = field(default_factory=dict)
    masking: bool = False
    transfer: bool = False

    def __post_init__(self) -> None:
        """Check that there is something to do."""
        for name in ("models", "data", "attacks"):
            if not getattr(self, name):
                raise ValueError(f"suite: no {name}; give at least one")
        if unknown := [name for name in (*self.baselines, *self.baselines.values()) if name not in self.models]:
            raise ValueError(f"suite: baselines: {unknown[0]!r} is not a model; models: {', '.join(self.models)}")
