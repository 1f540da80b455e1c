"""Models as users of model libraries ask for them: what there is by name, and one of them as a scorer.
Source: this project; the calls are those that users of timm and pyiqa know."""

import jax

from robust_iqa_jax.models.checkpoint import load
from robust_iqa_jax.models.model_table import model_table
from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.models.registry import init
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.shipped import SHIPPED


def list_models(pretrained: bool = False) -> list[str]:
    """Names that `create_model` takes: the trained models that ship, then all others.

    Args:
      pretrained: only those that ship, trained.
    """
    return [*SHIPPED, *(() if pretrained else model_table())]


def create_model(name: str, pretrained: bool = True, *, seed: int = 0) -> Scorer:
    """A model by its name, as a scorer.

    Args:
      name: one of `list_models()`.
      pretrained: with the weights that ship, as `load` gives them; if not, with drawn ones, whose scores mean nothing
        before training.
      seed: of the drawn weights.

    Raises:
      ValueError: an unknown name; a model of which no trained weights ship.
    """
    if name in SHIPPED:
        trained = load(name)
        if pretrained:
            return trained
        spec = trained.spec
    else:
        spec = preset(name)
        if pretrained:
            raise ValueError(
                f"{name}: no trained weights of it ship (those of {', '.join(SHIPPED)} do); convert published ones "
                "with `riqa convert` and load them, or take pretrained=False for drawn weights"
            )
    return Scorer(jax.jit(init, static_argnums=0)(spec, jax.random.key(seed)), Calibration.identity(), spec)
