"""stAdv: images bent by a smooth flow field instead of changed pixel by pixel.
Xiao et al. 2018 (arXiv 1801.02612), and the form of the paper's attacks/stadv.py (docs/sources.md 4.3)."""

from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, has_direction
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.settings import traced

Flow = Float[Array, "h w 2"]
FlowTerm = Literal["original", "authors"]
Optimizer = Literal["lbfgs", "adam"]

SCORE_WEIGHT = 50.0
"""Weight of the score term in the loss, as the authors have it."""
TAUS: dict[FlowTerm, float] = {"original": 1e-3, "authors": 1e-5}
"""Default weights of the flow term. The published 0.05 of "original" was chosen for classifiers of small images: for a
score of 160 x 160 photos (EfficientNet-Lite0) no step against it paid, and the images stayed as they were."""

_NEIGHBOURS: dict[FlowTerm, tuple[tuple[int, int], ...]] = {
    "original": ((-1, 0), (1, 0), (0, -1), (0, 1)),
    "authors": ((-1, -1), (-1, 1), (1, -1), (1, 1)),
}


@traced("steps", "tau", "learning_rate", "score_range")
class StAdv(Attack):
    """Minimise, over flow fields from zero, score term + tau * flow term; the flow moves where pixels are read.

    "original": the flow term is the paper's, a sum of lengths over the 4 neighbours; as it classifies and this does
    not, the score term is -50 objective / score_range. "authors": squared lengths over the 4 *diagonal* neighbours,
    and 50 other / (score + other) with other = 1.5 score_range; the authors' optimiser (three L-BFGS steps of rate 2.5
    without a line search) is not repeated.

    Each image has its own L-BFGS: one over a sum of losses would choose a common step and mix the curvatures, so that
    an image's result would depend on its neighbours.

    Attributes:
      steps: iterations, >= 1. An L-BFGS one takes up to 20 evaluations of the score and its gradient, usually 1 to 3;
        a batch waits for its slowest image.
      direction: which way scores are pushed, see attacks.objective; "authors" only raises.
      flow: "original" or "authors".
      tau: weight of the flow term; None for the default one, see TAUS; published are 0.05 and 1e-5.
      shared: one flow field for the whole batch, over the mean of the score terms.
      optimizer: "lbfgs" (ten pairs, zoom line search) or "adam".
      learning_rate: Adam's step size in pixels; L-BFGS has none.

    Raises:
      ValueError: a number that is not positive, unknown names; on use, images with a side of one pixel.
    """

    kind = "stadv"
    steps: Any = 10
    _: KW_ONLY
    direction: Direction = "raise"
    flow: FlowTerm = "original"
    tau: Any = None
    shared: bool = False
    optimizer: Optimizer = "lbfgs"
    learning_rate: Any = 0.05
    score_range: Any = 100.0

    def check(self) -> None:
        """ "authors" raises only."""
        if self.flow == "authors" and self.direction != "raise":
            raise ValueError("attack: stadv with flow='authors' only raises scores; use flow='original'")

    @property
    def traits(self) -> tuple[str, ...]:
        """ "authors", "shared", "adam", where they apply."""
        choices = (self.flow, "original"), ("shared" if self.shared else "", ""), (self.optimizer, "lbfgs")
        return tuple(choice for choice, default in choices if choice != default)

    @property
    def couples(self) -> bool:
        """True for a shared flow too."""
        return self.shared or super().couples

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; the keys are not used."""
        count, height, width, _ = images.shape
        if min(height, width) < 2:
            raise ValueError(f"attack: stadv bends images of 2 x 2 pixels or more, got {height} x {width}")
        start = jnp.zeros((height, width, 2), jnp.promote_types(images.dtype, jnp.float32))
        clean = scorer(images)
        towards = objective(lambda scores: scores, clean, self.direction)  # what is wanted, of scores alone
        bend_all = jax.vmap(bend, (0, None))

        def shared_loss(flow: Flow) -> Array:
            return self._score_term(towards, scorer(bend_all(images, flow))).mean() + self._flow_term(flow)

        def alone(image: Array, index: Array) -> tuple[Array, Array]:
            def loss(flow: Flow) -> Array:
                score = scorer(bend(image, flow)[None])
                # Its own place among the clean scores is what "change" and "invert" judge an image by.
                return self._score_term(towards, jnp.broadcast_to(score, (count,)))[index] + self._flow_term(flow)

            flow, alive = self._descend(loss, start)
            return bend(image, flow), alive

        if self.shared:
            flow, alive = self._descend(shared_loss, start)
            bent, alive = bend_all(images, flow), jnp.broadcast_to(alive, (count,))
        else:
            bent, alive = jax.vmap(alone)(images, jnp.arange(count))
        return Result(jnp.clip(bent, 0, 1), jnp.isfinite(clean), alive)

    def _descend(self, loss: Callable[[Flow], Array], start: Flow) -> tuple[Flow, Bool[Array, ""]]:
        """The flow at the end of the descent, and whether a gradient led away from the start."""
        solver = optax.lbfgs() if self.optimizer == "lbfgs" else optax.adam(self.learning_rate)
        solver = optax.with_extra_args_support(solver)

        def step(_: Array, carry: tuple[Flow, Any, Array]) -> tuple[Flow, Any, Array]:
            flow, state, alive = carry
            value, gradient = jax.value_and_grad(loss)(flow)
            updates, state = solver.update(gradient, state, flow, value=value, grad=gradient, value_fn=loss)
            alive |= has_direction(gradient[None])[0]
            return optax.apply_updates(flow, updates), state, alive  # pyright: ignore[reportReturnType]

        flow, _, alive = jax.lax.fori_loop(0, self.steps, step, (start, solver.init(start), jnp.bool_(False)))
        return flow, alive

    def _score_term(self, towards: ScoreFunction, scores: Array) -> Array:
        if self.flow == "original":
            return -SCORE_WEIGHT * towards(scores) / self.score_range
        other = 1.5 * self.score_range
        return SCORE_WEIGHT * other / (scores + other)

    def _flow_term(self, flow: Flow) -> Array:
        tau = TAUS[self.flow] if self.tau is None else self.tau
        return tau * flow_term(flow, self.flow)


def bend(image: Float[Array, "h w c"], flow: Flow) -> Float[Array, "h w c"]:
    """The image read bilinearly at (row + flow[..., 0], column + flow[..., 1]), clamped to the image; >= 2 x 2."""
    rows, columns = (
        jnp.clip(position + flow[..., axis], 0, side - 1)
        for axis, (position, side) in enumerate(zip(jnp.indices(flow.shape[:2]), image.shape[:2], strict=True))
    )
    top, left = (
        jnp.clip(jnp.floor(jax.lax.stop_gradient(position)).astype(int), 0, side - 2)
        for position, side in ((rows, image.shape[0]), (columns, image.shape[1]))
    )
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    upper = (1 - right) * image[top, left] + right * image[top, left + 1]
    lower = (1 - right) * image[top + 1, left] + right * image[top + 1, left + 1]
    return ((1 - down) * upper + down * lower).astype(image.dtype)


def flow_term(flow: Flow, kind: FlowTerm = "original") -> Float[Array, ""]:
    """How unsmooth a flow is: a sum over pixels and neighbours q of |flow - flow_q|^2 + 1e-8, zero beyond the border.

    "original": square roots of the summands, 4 neighbours (Xiao et al. 2018, equation 4). "authors": without roots,
    the 4 diagonal neighbours.
    """
    height, width, _ = flow.shape
    padded = jnp.pad(flow, ((1, 1), (1, 1), (0, 0)))
    total = jnp.zeros((), flow.dtype)
    for row, column in _NEIGHBOURS[kind]:
        shifted = padded[1 + row : 1 + row + height, 1 + column : 1 + column + width]
        squared = ((flow - shifted) ** 2).sum(-1) + 1e-8
        total += (jnp.sqrt(squared) if kind == "original" else squared).sum()
    return total
