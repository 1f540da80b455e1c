"""AT, label-penalised adversarial training: batches attacked on the fly, labels lowered by the visible damage.
Sources: wianluna/metrics_at (trainer.py, fgsm.py, presets/train.yaml); what the authors ran (docs/sources.md 3.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images, check_choice, check_count, check_positive
from robust_iqa_jax.attacks.ascent import along, ascend
from robust_iqa_jax.attacks.ball import BALLS
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.attacks.objective import objective as score_objective
from robust_iqa_jax.functional.ssim import ms_ssim, ssim

Start = Literal["clean", "uniform"]
Aim = Literal["loss", "raise", "lower", "change", "invert"]
Label = Literal["ssim", "ms-ssim", "share", "min", "none"]
Statistics = Literal["running", "batch"]

Outputs = Callable[[Float[Array, "n h w c"]], Float[Array, "n outputs"]]
Loss = Callable[[Float[Array, "n outputs"], Float[Array, " n"]], Float[Array, ""]]


@dataclass(frozen=True)
class AdversarialConfig:
    """The attack of each training step and what it does to the labels; the defaults are the published method's.

    Attacks act on [0,1] pixels, inside the ball around the clean image. Defects of the sources that are not repeated:
    metrics_at clamps around its random start (up to 2 eps from the image), A-Lin steps 5/255 in a ball of 4/255 and
    never projects, shows the attacked model pixels that are not normalised and lets them into its running averages,
    and takes SSIM of normalised images with a range of 1; A-TReS clamps normalised images to [0,1] and counts eps in
    their units.

    Raises:
      ValueError: numbers that are not positive, unknown names, an empty range of labels.
    """

    eps: float = 4 / 255
    """Largest change of a pixel, in [0,1] units."""
    step_size: float = 5 / 255
    """Length of a step."""
    steps: int = 1
    start: Start = "clean"
    """Where it starts: at the image, or uniformly in the ball."""
    aim: Aim = "loss"
    """What it raises: the training loss of the scores, or the scores in a direction of attacks.objective."""
    statistics: Statistics = "running"
    """Batch normalisation of the attacked model. "running": the function that is to be defended, dropout off. "batch":
    in training mode, as published. Neither moves the running averages."""
    label: Label = "ssim"
    """Label y of an attacked image x', clipped to label_range: y - penalty d width with d = 1 - SSIM(x', x), 1 -
    MS-SSIM, or 1 ("share", a constant one); its lower end ("min"); y itself ("none")."""
    penalty: float = 1.0
    label_range: tuple[float, float] | None = None
    """Ends of the scale; those of the training labels where not given."""
    keep_clean: bool = True
    """Train on attacked and clean images, at twice the batch, or on attacked ones only."""

    def __post_init__(self) -> None:
        check_count(steps=self.steps)
        check_positive(eps=self.eps, step_size=self.step_size, penalty=self.penalty)
        for name, allowed in (("start", Start), ("aim", Aim), ("statistics", Statistics), ("label", Label)):
            check_choice(name, getattr(self, name), get_args(allowed))
        if self.label_range is not None and not self.label_range[0] < self.label_range[1]:
            raise ValueError(f"adversarial: label_range must rise, got {self.label_range}")


KONIQ_RANGE = (3.91176470588, 88.3888888889)
"""Extremes of KonIQ-10k's z-scored labels (metrics_at)."""

PRESETS: dict[str, AdversarialConfig] = {
    "linearity": AdversarialConfig(statistics="batch", label_range=KONIQ_RANGE),
    "linearity-authors": AdversarialConfig(start="uniform", aim="raise", statistics="batch", label_range=KONIQ_RANGE),
    "koncept512": AdversarialConfig(start="uniform", statistics="batch", label="none", keep_clean=False),
    "tres": AdversarialConfig(
        eps=2 / 255, step_size=3 / 255, start="uniform", statistics="batch", label="none", keep_clean=False
    ),
}
"""What models were trained with, without the defects above: metrics_at (LinearityIQA over ResNeXt-101), A-Lin, A-Kon,
A-TReS. Rates and lengths go with them: 1e-3, batches of 32, 30 epochs from a trained model (metrics_at)."""


def attacked_images(
    config: AdversarialConfig, outputs: Outputs, loss: Loss, keys: Array, images: Images, mos: Float[Array, " n"]
) -> Images:
    """The batch's images after the attack: in [0,1] and within eps of the clean ones, rounding included.

    Args:
      config: the attack.
      outputs: [0,1] images -> (n, outputs), the score last.
      loss: (outputs, mos) -> scalar, what aim="loss" raises.
      keys: (n,) one an image, of a uniform start; fold them from the step's key and the image's index in the whole
        batch, and the result does not depend on how the batch is split over devices (aim="loss" with a loss that
        compares the batch with itself, "invert" and statistics="batch" aside, which need the batch as a whole).
      images: (n, h, w, c) in [0,1].
      mos: (n,) labels.
    """
    ball, eps = BALLS["linf"], jnp.asarray(config.eps, images.dtype)
    start = jnp.zeros_like(images) if config.start == "clean" else ball.draw(keys, images, eps)
    rule = along(ball.steepest, jnp.asarray(config.step_size, images.dtype))
    objective = _objective(config, outputs, loss, images, mos)
    result = ascend(objective, images, start, config.steps, rule, lambda perturbation: ball.project(perturbation, eps))
    return ball.finish(images, result.images, eps)


def _objective(config: AdversarialConfig, outputs: Outputs, loss: Loss, images: Images, mos: Array) -> ScoreFunction:
    if config.aim == "loss":
        n = images.shape[0]
        return lambda x: jnp.broadcast_to(loss(outputs(x), mos) / n, (n,))
    return score_objective(lambda x: outputs(x)[:, -1], images, config.aim)


def corrected_labels(
    config: AdversarialConfig, mos: Float[Array, " n"], attacked: Images, images: Images
) -> Float[Array, " n"]:
    """Labels of attacked images, see AdversarialConfig.label.

    Args:
      config: strategy, penalty and range.
      mos: (n,) labels of the clean images.
      attacked, images: (n, h, w, c) in [0,1].

    Raises:
      ValueError: no label_range; images too small for SSIM (11 pixels) or MS-SSIM (176).
    """
    if config.label == "none":
        return mos
    if config.label_range is None:
        raise ValueError(f"adversarial: label={config.label!r} needs label_range, the two ends of the labels' scale")
    low, high = config.label_range
    if config.label == "min":
        return jnp.full_like(mos, low)
    if config.label == "share":
        damage = jnp.ones_like(mos)
    else:
        damage = 1 - (ssim if config.label == "ssim" else ms_ssim)(attacked, images)
    return jnp.clip(mos - config.penalty * damage * (high - low), low, high)


def adversarial_batch(
    config: AdversarialConfig, outputs: Outputs, loss: Loss, keys: Array, images: Images, mos: Float[Array, " n"]
) -> tuple[Images, Float[Array, " m"], Float[Array, ""]]:
    """The batch to train on in place of a clean one; arguments and errors as above.

    Returns:
      images, attacked ones first (2n of them with keep_clean), their labels, and the mean amount by which the attacked
      images' labels were lowered.
    """
    attacked = attacked_images(config, outputs, loss, keys, images, mos)
    labels = corrected_labels(config, mos, attacked, images)
    lowered = jnp.mean(mos - labels)
    if not config.keep_clean:
        return attacked, labels, lowered
    return jnp.concatenate([attacked, images]), jnp.concatenate([labels, mos]), lowered
