"""A quality model with a guarantee by construction: every layer is 1-Lipschitz, so its weights bound what any change
of a photo does to its score. Ours; of Cayley convolutions (arXiv 2104.07167) and GroupSort (arXiv 1811.05381)."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.devices import all_rows
from robust_iqa_jax.functional.group_sort import group_sort
from robust_iqa_jax.functional.map_resize import space_to_depth
from robust_iqa_jax.layers.cayley_conv import CayleyConv
from robust_iqa_jax.losses.norm_in_norm import norm_in_norm
from robust_iqa_jax.losses.objective import Apply, Objective
from robust_iqa_jax.metrics.scores import Scores
from robust_iqa_jax.models.record import Architecture
from robust_iqa_jax.models.spec import ModelSpec

WIDTHS = (64, 128, 192)
"""Channels of the stages, at 1/4, 1/8 and 1/16 of the photo's sides."""
CONVOLUTIONS = 2
"""Of each stage."""
MARGIN_EPS = 2 / 255
MARGIN_WEIGHT = 0.1
"""Of the guarantee in the training loss, see `margin_objective`; not tuned."""
HEAD_WEIGHT = 0.1
"""Of the guarantee in the fit of the head, see `fitted_head`: larger is a narrower guarantee and less accurate."""


class LipschitzIQA(nn.Module):
    """Scores whose change is bounded by the weights of the head, see `lipschitz_constant`.

    Patches of 4 x 4 become channels (an isometry); each stage is orthogonal convolutions, each followed by GroupSort,
    and the next stage reads patches of 2 x 2 of it. The head is linear in the mean of each stage's map over its
    positions, and its constant falls with their number: a mean of P values moves by at most |change|_2 / sqrt(P).

    Attributes:
      widths: channels of the stages, even.
      convolutions: of each stage.
    """

    widths: tuple[int, ...]
    convolutions: int

    def setup(self) -> None:
        """The convolutions of each stage, and the head's weights for its map."""
        self.stages = [[CayleyConv(width) for _ in range(self.convolutions)] for width in self.widths]
        self.scores = [nn.Dense(1, use_bias=i == 0) for i in range(len(self.widths))]

    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n 1"]:
        """Images (n, h, w, 3), sides a multiple of 2^(stages + 1) -> (n, 1).

        Args:
          x: normalised images.
          train: of no meaning: there are no batch statistics.
        """
        parts = [score(mean) for score, mean in zip(self.scores, self.means(x), strict=True)]
        return jnp.sum(jnp.stack(parts), 0)

    def means(self, x: Float[Array, "n h w c"]) -> list[Float[Array, "n c"]]:
        """What the head reads: the mean of each stage's map over its positions."""
        return [one.mean((1, 2)) for one in self.maps(x)]

    def maps(self, x: Float[Array, "n h w c"]) -> list[Float[Array, "n h2 w2 c2"]]:
        """The map of each stage: a 1-Lipschitz function of the images, in l2 over all pixels and channels."""
        x, maps = space_to_depth(x), []
        for stage in self.stages:
            x = space_to_depth(x)
            for convolution in stage:
                x = group_sort(convolution(x))
            maps.append(x)
        return maps


def lipschitz_constant(params: Any, size: tuple[int, int]) -> Array:
    """Bound of |change of the output| / |change of the image|_2, of a LipschitzIQA at one image size: the sum over the
    stages of |w_k|_2 / sqrt(positions of its map), w_k the stage's weights in the head. Differentiable.

    Args:
      params: of the model.
      size: (height, width) of the image, in the network.
    """
    total: Any = 0.0
    for i in range(sum(name.startswith("scores") for name in params)):
        total = total + jnp.sqrt((params[f"scores_{i}"]["kernel"] ** 2).sum() / _positions(size, i))
    return total


def _positions(size: tuple[int, int], stage: int) -> int:
    return math.prod(side // 2 ** (stage + 2) for side in size)


def fitted_head(
    params: Any, means: Sequence[Scores], mos: Scores, size: tuple[int, int], weight: float = HEAD_WEIGHT
) -> Any:
    """Parameters with the head that people's scores ask for: the least mean of (score - mos)^2 plus weight times
    3 sum_k g_k^2, g_k the part of stage k in the guaranteed change at MARGIN_EPS (l-infinity). (sum_k g_k)^2 is at most
    3 sum_k g_k^2, and with squares the minimum has a closed form: regression whose ridge is each stage's own.

    Args:
      params: of the model; only its head changes.
      means: each stage's (n, channels), see `LipschitzIQA.means`.
      mos: (n,) opinion scores.
      size: (height, width) of the images in the network.
      weight: > 0.
    """
    squared_length = MARGIN_EPS**2 * 3 * math.prod(size)
    ridge = [np.full(one.shape[1], 3 * squared_length / _positions(size, k)) for k, one in enumerate(means)]
    x = np.concatenate(means, 1).astype(np.float64)
    centre, middle = x.mean(0), mos.mean()
    x = x - centre
    kernel = np.linalg.solve(x.T @ x / len(x) + weight * np.diag(np.concatenate(ridge)), x.T @ (mos - middle) / len(x))
    ends = np.cumsum([one.shape[1] for one in means])[:-1]
    head = {f"scores_{k}": {"kernel": jnp.float32(part[:, None])} for k, part in enumerate(np.split(kernel, ends))}
    head["scores_0"]["bias"] = jnp.float32([middle - centre @ kernel])
    return {**params, **head}


def margin_objective(axis_name: str | None) -> Objective:
    """Norm-in-norm of the scores plus MARGIN_WEIGHT times the guaranteed change at MARGIN_EPS (l-infinity) in standard
    deviations of the batch's scores: what a model that shrinks its scores does not gain by."""

    def objective(
        apply: Apply, variables: dict[str, Any], x: Array, mos: Array, rngs: dict[str, Array], **options: Any
    ) -> tuple[Array, dict[str, Any]]:
        scores = all_rows(apply(variables, x, train=True, rngs=rngs, **options)[:, -1], axis_name)
        size = (x.shape[1], x.shape[2])
        change = MARGIN_EPS * math.sqrt(3 * math.prod(size)) * lipschitz_constant(variables["params"], size)
        spread = jnp.sqrt(scores.var() + jnp.finfo(scores.dtype).tiny)
        return norm_in_norm(scores, all_rows(mos, axis_name)) + MARGIN_WEIGHT * change / spread, {"batch_stats": {}}

    return objective


def _build(spec: ModelSpec, bn_axis_name: str | None) -> LipschitzIQA:
    multiple = 2 ** (len(WIDTHS) + 1)
    if any(side % multiple or side < multiple for side in spec.input_size):
        raise ValueError(
            f"lipschitz: input sides that are multiples of {multiple} expected, got {spec.input_size[0]} x "
            f"{spec.input_size[1]}"
        )
    if spec.crops is not None:
        raise ValueError("lipschitz: it reads the whole image; drop the crops")
    return LipschitzIQA(WIDTHS, CONVOLUTIONS)


RECORD = Architecture(
    name="lipschitz",
    title="LipschitzIQA",
    paper="ours",
    build=_build,
    block_points=lambda spec: (),
    normalisation=lambda spec: ((0.5, 0.5, 0.5), (1.0, 1.0, 1.0)),
    loss="norm-in-norm",
    objective=margin_objective,
    pretrained=lambda spec: {"params": {}, "batch_stats": {}},
    orthogonal=True,
    fitted_head=fitted_head,
)
