"""`riqa quickstart`: trains a model without and with the RobustBlock, prunes, attacks and reports, with no download.
Example: riqa quickstart --out runs/quickstart"""

from dataclasses import dataclass
from pathlib import Path

from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.config_file import load_config
from robust_iqa_jax.commands.progress import out
from robust_iqa_jax.files import check_folder


@dataclass(frozen=True)
class QuickstartArgs:
    """Run the study of configs/quickstart.py."""

    out: Path = Path("runs/quickstart")
    """Work folder; an interrupted quickstart found there goes on."""


def main(args: list[str]) -> int:
    """Run the command; its exit status."""
    given = parsed(QuickstartArgs, args, "riqa quickstart", __doc__)
    check_folder(given.out)  # before the imports, so that a mistake is answered at once
    from robust_iqa_jax.commands.study import run_study
    from robust_iqa_jax.study import BASE, StudyConfig

    run_study(load_config("quickstart", StudyConfig), given.out, "riqa quickstart")
    out.print(f"next: riqa score PHOTO --checkpoint {given.out / BASE}", markup=False)
    return 0
