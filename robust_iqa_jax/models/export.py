"""A scorer as a program that JAX alone runs, and the folder that a model hub serves: program, weights, facts, card.
Format of the program: jax.export (StableHLO with a symbolic batch size; the weights are in it)."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.export
import jax.numpy as jnp

from robust_iqa_jax.files import check_outputs, own_file, write_text
from robust_iqa_jax.labels import label_note
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.scorer import AnyScorer, Scorer
from robust_iqa_jax.setting_error import setting
from robust_iqa_jax.wording import unknown

Platform = Literal["cpu", "cuda", "tpu"]
"""What a program may be made for."""
PLATFORMS: tuple[Platform, ...] = get_args(Platform)
PROGRAM, CONFIG, CARD = "scorer.jax_export", "config.json", "README.md"
"""Files beside those of models.checkpoint."""
EXPORTED = "exported"
"""Entry of the facts of a checkpoint that was exported."""


def exported_program(scorer: AnyScorer, platforms: Sequence[str]) -> bytes:
    """The scorer as `jax.export.deserialize` reads it: float32 images (n, height, width, 3) in [0,1], of the model's
    input size and any n >= 1 -> float32 (n,) scores, as `scorer` gives them.

    Args:
      scorer: prepared or not; what is exported is prepared, and pixels are not checked.
      platforms: that the program runs on.

    Raises:
      ValueError: an unknown platform, or none.
    """
    _check_platforms(platforms)
    prepared = scorer.prepare()
    (n,) = jax.export.symbolic_shape("n", constraints=["n >= 1"])
    images = jax.ShapeDtypeStruct((n, *scorer.spec.input_size, 3), jnp.float32)
    export = jax.export.export(jax.jit(lambda images: prepared(images)), platforms=tuple(platforms))
    with _without_source_lines():
        return bytes(export(images).serialize())


@contextmanager
def _without_source_lines() -> Iterator[None]:
    """Programs that do not name the files of the machine that they were made on, and are smaller."""
    option = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, option)
    jax.config.update(option, 0)
    try:
        yield
    finally:
        jax.config.update(option, before)


def _check_platforms(platforms: Sequence[str]) -> None:
    """Raise ValueError for an unknown platform, or where there is none."""
    if not platforms:
        raise ValueError(f"no platform to export for; give some of {', '.join(PLATFORMS)}")
    for platform in platforms:
        if platform not in PLATFORMS:
            raise ValueError(unknown("platform", platform, PLATFORMS))


def save_exported(
    folder: str | os.PathLike[str],
    scorer: Scorer,
    name: str,
    facts: dict[str, Any] | None = None,
    about: str | None = None,
    platforms: Sequence[str] = PLATFORMS,
) -> None:
    """Write PROGRAM, CONFIG, CARD and the checkpoint of a scorer, which `riqa.load` reads.

    Args:
      folder: created where missing.
      scorer: not prepared.
      name: of the model, in the card.
      facts: JSON-able provenance, kept in the checkpoint.
      about: Markdown of a card that the model has already; a short one is made where None.
      platforms: as in `exported_program`.

    Raises:
      ValueError: files that riqa did not write would be replaced; an unknown platform.
    """
    folder = Path(folder)
    check_export(folder)
    program = exported_program(scorer, platforms)
    checkpoint.save(folder, scorer, {**(facts or {}), EXPORTED: {"jax": jax.__version__, "platforms": list(platforms)}})
    with own_file(folder / PROGRAM) as temporary:
        temporary.write_bytes(program)
    write_text(folder / CONFIG, json.dumps(configuration(scorer, platforms), indent=2) + "\n")
    write_text(folder / CARD, card(scorer, name, about))


def check_export(folder: Path) -> None:
    """Raise ValueError where `save_exported` would replace files that riqa did not write."""
    checkpoint.check_save(folder)
    check_outputs([folder / name for name in (PROGRAM, CONFIG, CARD)], place=setting("folder", "OUT"))


def configuration(scorer: Scorer, platforms: Sequence[str]) -> dict[str, Any]:
    """What a user of the program has to know, as JSON types."""
    return {
        "library_name": "robust_iqa_jax",
        "model_type": scorer.spec.architecture,
        "program": PROGRAM,
        "platforms": list(platforms),
        "input": {"shape": ["n", *scorer.spec.input_size, 3], "dtype": "float32", "range": [0, 1], "colours": "sRGB"},
        "output": {
            "shape": ["n"],
            "dtype": "float32",
            "label": scorer.label,
            "training_range": list(scorer.score_range),
        },
        "higher_is_better": True,
    }


def card(scorer: Scorer, name: str, about: str | None = None) -> str:
    """The card as model hubs show it: a header in YAML, what the model is, how to load it; arguments as above."""
    if about is None:
        height, width = scorer.spec.input_size
        low, high = scorer.score_range
        about = (
            f"# {name}\n\nA no-reference image-quality model: {scorer!r}.\n\nIt gives a photo of {width}x{height} "
            f"pixels a score, {scorer.label}, {low:.4g} to {high:.4g} in its training, higher is better. "
            f"{label_note(scorer.label) or ''}".strip()
        )
    header = "---\nlibrary_name: robust_iqa_jax\ntags:\n- image-quality-assessment\n- jax\n- jax-export\n---\n\n"
    return f"{header}{about.strip()}\n\n{LOADING}"


LOADING = f"""## Loading

With JAX and flatbuffers alone (`pip install jax flatbuffers`), for `images` of any size and number:

```python
import jax
import jax.export

with open("{PROGRAM}", "rb") as file:
    exported = jax.export.deserialize(bytearray(file.read()))
_, height, width, _ = exported.in_avals[0].shape
resized = jax.image.resize(images, (len(images), height, width, 3), "linear")
scores = jax.jit(exported.call)(resized)  # float32 (n, height, width, 3) in [0,1] -> (n,)
```

With robust_iqa_jax, which can also attack, certify and train it, `robust_iqa_jax.load(FOLDER)`, or
`robust_iqa_jax.load("hf://OWNER/NAME")` from the hub (`pip install 'robust_iqa_jax[hub]'`).
"""
