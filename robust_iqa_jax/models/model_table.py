"""The kept table of all models by name, so that listing them builds none.
Written by models.model_facts, which a test compares it with."""

import json
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("model_table.json")


def model_table() -> dict[str, dict[str, Any]]:
    """Name -> "paper", "input_size" [height, width], "crops", "block_at" or None, "score_range" [low, high] or None,
    "parameters", "gflop"; in the order of models.presets.PRESETS."""
    return json.loads(TABLE.read_text(encoding="utf-8"))
