"""`riqa export CHECKPOINT OUT`: a model as a program that JAX alone runs, in a folder as model hubs serve it.
Example: riqa export robust-lite0 runs/exported"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.checkpoint_output import check_output
from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.files import check_folder
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.export import (
    CARD,
    EXPORTED,
    PLATFORMS,
    PROGRAM,
    Platform,
    check_export,
    save_exported,
)


@dataclass(frozen=True)
class ExportArgs:
    """Export a model, with the inverses of its block computed once."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Name of a model that ships, checkpoint, or work folder of a training run."""
    out: Annotated[Path, tyro.conf.Positional]
    """Folder for scorer.jax_export (the program, any number of photos), model.safetensors and model.json (the
    checkpoint), config.json (input and scores) and README.md (the card)."""
    platforms: tuple[Platform, ...] = PLATFORMS
    """That the program runs on."""


def main(args: list[str]) -> int:
    """Run the command; its exit status."""
    given = parsed(ExportArgs, args, "riqa export", __doc__)
    source = checkpoint.find(given.checkpoint)
    check_output(given.out, [given.checkpoint, source], EXPORTED)
    check_export(given.out)
    check_folder(given.out, "OUT")
    scorer = checkpoint.load(source)
    own_card = source / CARD
    about = own_card.read_text(encoding="utf-8") if own_card.is_file() else None
    with err.status(f"exporting {given.checkpoint}"):
        save_exported(
            given.out, scorer, given.checkpoint.resolve().name, checkpoint.facts(source), about, given.platforms
        )
    out.print(f"{given.out / PROGRAM}: {(given.out / PROGRAM).stat().st_size / 1e6:.1f} MB", markup=False)
    return 0
