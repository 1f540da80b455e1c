"""NT, gradient-norm regularisation: the l1 norm of a score's gradient in the pixels, by one finite difference.
Sources: arXiv 2403.11397; YangiD/DefenseIQA-NT HyperIQASolver.loss_grad; variants of docs/sources.md 3.1."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.devices import all_rows
from robust_iqa_jax.setting_error import SettingError, setting

Space = Literal["pixels", "normalised"]
Statistics = Literal["running", "batch"]


@dataclass(frozen=True)
class GradientNormConfig:
    """How strongly and in which units the gradient is penalised.

    Between the spaces: a model that normalises by (x - mean) / std has, along the sign of its gradient, a step of h in
    normalised values where pixels move by h std. With one std for all channels (ImageNet's are .229, .224, .225):
    h_pixels = std h_normalised, D_pixels = D_normalised / std, and the same pull needs
    weight_pixels = std^2 weight_normalised. So 0.01 is a step of 2.55 grey levels in pixels, of 0.58 in normalised
    values.

    Raises:
      ValueError: h or weight not above 0, an unknown space or kind of statistics.
    """

    h: float = 0.01
    """Length of the finite difference, in units of `space`. The moved images are not clipped to [0,1], as published."""
    weight: float = 1e-3
    """Weight of the penalty in the loss (lambda)."""
    space: Space = "normalised"
    """What h and the gradient are measured in: [0,1] pixels, or the values that the network sees."""
    statistics: Statistics = "running"
    """Batch normalisation in the penalty's passes. "running": the function that attacks will meet, dropout off.
    "batch", as published: in training mode, where an image's score depends on its batch, and a rise that is common to
    all of it, such as attacks cause, is taken out by the normalisation in part and escapes the penalty. Either way
    running averages move with the loss's own pass only; the sources also let the moved images into them. Both passes
    drop the same units; the sources draw anew and divide that noise by h, which looks like a defect."""
    relative: bool = False
    """Measure the scores in standard deviations of the batch. For losses that are blind to the scores' scale
    (norm-in-norm): the plain penalty can be lowered without any gain by shrinking all scores alike."""

    def __post_init__(self) -> None:
        for name in ("h", "weight"):
            if not getattr(self, name) > 0:
                raise ValueError(f"gradient_norm: {name} must be above 0, got {getattr(self, name)}")
        for name, allowed in (("space", get_args(Space)), ("statistics", get_args(Statistics))):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"gradient_norm: unknown {name} {getattr(self, name)!r}; choose one of {', '.join(allowed)}"
                )


PRESETS: dict[str, GradientNormConfig] = {
    "hyperiqa": GradientNormConfig(0.01, 1e-3, "normalised", "batch"),  # NT, the official one
    "linearity": GradientNormConfig(6 / 255, 0.1, "normalised", "batch"),  # A-Lin; its comments say 10/255 and 0.01
    "koncept512": GradientNormConfig(0.01, 1e-3, "pixels", "batch"),  # A-Kon
    "tres": GradientNormConfig(0.01, 5e-4, "normalised", "batch"),  # A-TReS
    "dbcnn": GradientNormConfig(0.01, 1e-3, "pixels", "batch"),  # A-DB
    "maniqa": GradientNormConfig(0.01, 1e-3, "pixels", "batch"),  # A-MAN
}
"""What each architecture was trained with, by its name. The papers give none but HyperIQA's; the others are those of
the authors' code. LinearityIQA's acts on raw outputs, whose scale the loss leaves free; see `relative`."""


def gradient_norms(
    score: Callable[[Any, Float[Array, "n h w c"]], Float[Array, " n"]],
    params: Any,
    images: Float[Array, "n h w c"],
    h: float,
    relative: bool = False,
    axis_name: str | None = None,
) -> Float[Array, " n"]:
    """D = (f(x + h v) - f(x)) / h along v = sign(grad_x f(x)): the l1 norm of each image's gradient, to first order.

    v counts as a constant: differentiating D in the parameters takes the backward passes of two scores, and no
    derivative of a gradient. |f(x + d) - f(x)| <= |grad f|_1 |d|_inf to first order, so D bounds what an attack in a
    small linf ball gains.

    Args:
      score: (params, images) -> scores (n,), each of its own image only.
      params: pytree that the penalty is to be differentiated in.
      images: (n, h, w, c) in the units of h.
      h: length of the difference.
      relative: divide by the standard deviation of f(x) over the batch, through which gradients flow: D does not
        change when all scores are scaled alike.
      axis_name: mapped axis over which the batch is spread, None for one device.

    Returns:
      (n,), in score points (or standard deviations) a unit of x; negative only where h is too long for the first order.

    Raises:
      ValueError: relative with a single image.
    """
    if relative and images.shape[0] < 2 and axis_name is None:
        cure = f"enlarge {setting('batch_size')}"
        raise SettingError(f"gradient_norm: relative needs batches of two images or more; {cure}")
    constant = jax.lax.stop_gradient(params)
    v = jnp.sign(jax.grad(lambda x: score(constant, x).sum())(images))
    clean = score(params, images)
    norms = (score(params, images + h * v) - clean) / h
    if not relative:
        return norms
    return norms / jnp.sqrt(all_rows(clean, axis_name).var() + jnp.finfo(clean.dtype).tiny)


def gradient_norm_penalty(norms: Float[Array, " n"]) -> Float[Array, ""]:
    """mean(D^2) / 2 over a batch (YangiD/DefenseIQA-NT), to be weighed by `GradientNormConfig.weight`."""
    return 0.5 * jnp.mean(norms**2)
