"""The architectures. A new one is a file with a record (models.record) and a line here."""

from robust_iqa_jax.checks import unknown
from robust_iqa_jax.models import dbcnn, hyper_iqa, koncept512, linearity_iqa, lipschitz, maniqa, musiq, tres
from robust_iqa_jax.models.record import Architecture
from robust_iqa_jax.models.spec import ModelSpec

ARCHITECTURES: dict[str, Architecture] = {
    record.name: record
    for record in (
        linearity_iqa.RECORD,
        koncept512.RECORD,
        tres.RECORD,
        hyper_iqa.RECORD,
        dbcnn.RECORD,
        maniqa.RECORD,
        musiq.RECORD,
        musiq.AVA_RECORD,
        lipschitz.RECORD,
    )
}


def architecture(spec: ModelSpec) -> Architecture:
    """The record of a spec's architecture; ValueError for an unknown one."""
    if spec.architecture not in ARCHITECTURES:
        raise ValueError(unknown("architecture", spec.architecture, ARCHITECTURES))
    return ARCHITECTURES[spec.architecture]
