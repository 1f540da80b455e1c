"""The l1 norm of the score's gradient: the first-order bound on what an linf attack can do to it.
Norm-regularised training (arXiv 2403.11397): |f(x + d) - f(x)| <= eps |grad f(x)|_1 to first order, |d|_inf <= eps."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.checks import checked_images
from robust_iqa_jax.evaluation.batches import even_batches
from robust_iqa_jax.metrics.scores import Scores
from robust_iqa_jax.pytrees import as_pytree


def gradient_l1(
    scorer: ScoreFunction, images: Float[Array, "n h w c"] | Float[np.ndarray, "n h w c"], *, batch_size: int = 8
) -> Scores:
    """(n,) l1 norms of the gradient of each image's score, over all pixels and channels.

    In score points for a change of every pixel by 1, its whole range; times eps for an attack of size eps. The NT code
    reports the mean over images (docs/sources.md 5).

    Args:
      scorer: images -> scores (n,), each score a function of its own image only.
      images: float (n, h, w, c) in [0,1].
      batch_size: most images a call.

    Raises:
      ValueError: bad images, a batch size below 1.
    """
    images = checked_images(images)
    score = as_pytree(scorer)
    norms = [_norms(score, images[index]) for index in even_batches(len(images), batch_size)]
    return np.concatenate([np.asarray(norm, np.float64) for norm in norms])[: len(images)]


@jax.jit
def _norms(scorer: ScoreFunction, images: Array) -> Array:
    gradient = jax.grad(lambda x: scorer(x).sum())(images)
    return jnp.abs(gradient).sum((1, 2, 3))
