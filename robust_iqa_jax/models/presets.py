"""Models by name: those of the architectures' records, plain, with the RobustBlock, and with the authors' one."""

from robust_iqa_jax.checks import unknown
from robust_iqa_jax.models.architectures import ARCHITECTURES
from robust_iqa_jax.models.spec import ModelSpec

_NAMED = {name: preset for record in ARCHITECTURES.values() for name, preset in record.presets.items()}

PRESETS: dict[str, ModelSpec] = {
    **{name: preset.plain for name, preset in _NAMED.items()},
    **{f"{name}-robust": preset.robust for name, preset in _NAMED.items()},
    **{f"{name}-authors": preset.authors for name, preset in _NAMED.items() if preset.authors is not None},
}
"""Name -> model; see models.record.Preset for what the endings say."""


def preset(name: str) -> ModelSpec:
    """The model of this name; ValueError for an unknown one."""
    if name not in PRESETS:
        raise ValueError(unknown("model", name, PRESETS))
    return PRESETS[name]
