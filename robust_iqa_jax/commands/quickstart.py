"""`riqa quickstart`: trains a model without and with the RobustBlock, prunes, attacks and reports, with no download.
Example: riqa quickstart --out runs/quickstart"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from robust_iqa_jax.commands.config_file import load_config
from robust_iqa_jax.commands.progress import out
from robust_iqa_jax.commands.study import run_study
from robust_iqa_jax.study import BASE, StudyConfig


@dataclass(frozen=True)
class QuickstartArgs:
    """Run the study of configs/quickstart.py."""

    out: Path = Path("runs/quickstart")
    """Work folder; an interrupted quickstart found there goes on."""


def main(args: list[str]) -> int:
    """Run the command; its exit status."""
    parsed = tyro.cli(QuickstartArgs, args=args, prog="riqa quickstart", description=__doc__)
    run_study(load_config("quickstart", StudyConfig), parsed.out, "riqa quickstart")
    out.print(f"next: riqa score PHOTO --checkpoint {parsed.out / BASE}", markup=False)
    return 0
