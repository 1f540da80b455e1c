"""The former path of evaluation.masking, whose names it passes on; they are imported when they are asked for, because
evaluation imports attacks and not the other way round."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(importlib.import_module("robust_iqa_jax.evaluation.masking"), name)
