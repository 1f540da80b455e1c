"""Size, input and cost of a model, from the shapes of its variables: what `riqa models` shows, and its kept table.
Write the table anew after a change of models: python -m robust_iqa_jax.models.model_facts"""

import json
from typing import Any

import jax
import jax.numpy as jnp

from robust_iqa_jax.layers.orthogonal_conv import OPERATORS, with_operators
from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.models.model_table import TABLE
from robust_iqa_jax.models.presets import PRESETS
from robust_iqa_jax.models.registry import build, shapes
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.work import work_of


def facts(spec: ModelSpec) -> dict[str, Any]:
    """What models.model_table keeps of a model; building it takes seconds.

    Returns:
      `description`, and "parameters", and "gflop": operations of one image's score with a prepared block, on a CPU, in
      units of 1e9, to three decimals.
    """
    variables, module = shapes(spec), build(spec)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    image = jax.ShapeDtypeStruct((1, *spec.seen_size, 3), jnp.float32)
    if spec.block is not None:
        prepare = lambda v, x: module.apply(v, x, train=False, mutable=[OPERATORS])[1]  # noqa: E731
        variables = with_operators(variables, jax.eval_shape(prepare, variables, image).get(OPERATORS, {}))
    work = work_of(lambda v, x: module.apply(v, x, train=False), variables, image)
    found = description(spec)
    return {**found, "parameters": parameters, "gflop": round(found["crops"] * work.flops / 1e9, 3)}


def description(spec: ModelSpec) -> dict[str, Any]:
    """What is known of a model without building it: "paper", "input_size", "crops", "block_at", "score_range"."""
    entry = architecture(spec)
    return {
        "paper": entry.paper,
        "input_size": list(spec.input_size),
        "crops": 1 if spec.crops is None else spec.crops.rows * spec.crops.columns,
        "block_at": None if spec.block is None else spec.block.at,
        "score_range": None if entry.score_range is None else list(entry.score_range),
    }


def main() -> None:
    """Write the table."""
    rows = [f"{json.dumps(name)}: {json.dumps(facts(spec))}" for name, spec in PRESETS.items()]
    TABLE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
