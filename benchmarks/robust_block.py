"""How fast is the RobustBlock's orthogonal convolution, against other ways to build one and against PyTorch?

    riqa bench robust_block --case position6 --batch 1 8 --json rows.json

Every implementation of the same map is compared with the float64 result before it is timed. The scalar whose gradient
is timed is <weights, y>; gradients flow to kernel, alpha, bias and input, as inside a network.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array

from robust_iqa_jax.benchmarks import torch_rows
from robust_iqa_jax.benchmarks.cases import Case, Parameters, case_of, maps, parameters
from robust_iqa_jax.benchmarks.machine import ceilings
from robust_iqa_jax.benchmarks.measure import Row, Timing, measure, relative_error, timed_row
from robust_iqa_jax.benchmarks.rows import Output, collect, publish
from robust_iqa_jax.extras import require
from robust_iqa_jax.functional import cayley
from robust_iqa_jax.functional.alternatives.bjorck import bjorck_conv
from robust_iqa_jax.functional.alternatives.explicit_cayley import explicit_cayley_conv
from robust_iqa_jax.functional.alternatives.exponential import exponential_conv
from robust_iqa_jax.functional.alternatives.spectral_norm import spectral_norm_conv
from robust_iqa_jax.functional.conv2d import circular_conv
from robust_iqa_jax.layers import CONVOLUTIONS, prepared

CAYLEY = ("factored", "explicit-q", "torch-explicit-q")
"""Implementations of the very same map."""

Convolve = Callable[[Array, Array, Array, Array], Array]
"""(x, kernel, alpha, bias) -> y."""

IMPLS: dict[str, Convolve] = {
    "factored": cayley.cayley_conv,
    "explicit-q": explicit_cayley_conv,
    "bjorck": lambda x, kernel, alpha, bias: bjorck_conv(x, kernel, bias),
    "exponential": lambda x, kernel, alpha, bias: exponential_conv(x, kernel, bias),
    "spectral-norm": lambda x, kernel, alpha, bias: spectral_norm_conv(x, kernel, bias),
    "conv2d": lambda x, kernel, alpha, bias: circular_conv(x, kernel) + bias,
}
LAYERS = {name: layer for name, layer in CONVOLUTIONS.items() if name != "cayley"}
"""Those of robust_iqa_jax.layers that compute another map than "factored", each held to its own float64 result."""
Expected = tuple[np.ndarray | None, np.ndarray | None]
"""Output and kernel gradient to compare with, where there are any."""
NAMES = (*IMPLS, *LAYERS, *torch_rows.IMPLS)


@dataclass(frozen=True)
class Args:
    """Which shapes, implementations and batches."""

    case: tuple[str, ...] = ("position6",)
    """Shapes: position1, position2, position4, position6, koncept, koncept-large, tres, lite0, small, or any other as
    side x in x out: 29x200x1024."""
    batch: tuple[int, ...] = (1, 8)
    impl: tuple[str, ...] = ("factored", "explicit-q", *LAYERS, "conv2d", *torch_rows.IMPLS)
    """Also: bjorck, exponential, spectral-norm. Those of PyTorch need torch and orthogonium (extra "bench")."""
    repeats: int = 5
    """Timed calls of each row."""
    torch_repeats: int = 2
    """Of the rows of PyTorch, some of which take most of a minute."""
    output: tyro.conf.OmitArgPrefixes[Output] = field(default_factory=Output)


def main(args: Args) -> list[Row]:
    """Measure, print and write the rows.

    Raises:
      ValueError: unknown case or implementation, or a package that an implementation needs is missing.
    """
    check(args)
    limits = ceilings()
    rows = collect(row for name in args.case for batch in args.batch for row in case_rows(case_of(name), batch, args))
    publish("robust_block", "Orthogonal convolution of the RobustBlock", rows, limits, args.output)
    return rows


def check(args: Args) -> None:
    """Raise ValueError for names that do not exist or cannot run here."""
    for name in args.case:
        case_of(name)
    if unknown := [name for name in args.impl if name not in NAMES]:
        raise ValueError(f"--impl {unknown[0]}: unknown; choose among {', '.join(NAMES)}")
    for name in args.impl:
        if name in torch_rows.IMPLS:
            require(f"--impl {name}", torch_rows.IMPLS[name])


def case_rows(case: Case, batch: int, args: Args) -> Iterator[Row]:
    """All rows of one shape and batch."""
    drawn, x, weights = parameters(case), maps(case, batch), torch_rows.cotangent(case.name, batch)
    exact: Expected = reference(case, drawn, x, weights) if set(args.impl) & set(CAYLEY) else (None, None)
    for impl in args.impl:
        expected: Expected = exact if impl in CAYLEY else (None, None)
        if impl in torch_rows.IMPLS:
            passes = zip(("forward", "forward+backward"), expected, strict=True)
            yield from (torch_rows.row(case.name, impl, batch, p, args.torch_repeats, e) for p, e in passes)
        elif impl in LAYERS:
            yield from _layer_rows(case, impl, batch, x, weights, args.repeats)
        else:
            free = tuple(jnp.asarray(v, jnp.float32) for v in (drawn.kernel, drawn.alpha, drawn.bias))
            yield from _two_passes(case, impl, batch, IMPLS[impl], free, x, weights, free[2], expected, args.repeats)
            if impl == "factored":
                operator = jax.jit(cayley.prepare, static_argnums=3)(*free, (case.side, case.side))
                timing = measure(lambda o, x: cayley.apply(o, x), operator, x, repeats=args.repeats)
                yield _row(case, impl, batch, "cached", timing, expected[0], x, free[2])


def _layer_rows(case: Case, impl: str, batch: int, x: Array, weights: np.ndarray, repeats: int) -> Iterator[Row]:
    layer = LAYERS[impl](case.channels_out)
    variables = jax.jit(layer.init)(jax.random.key(0), x[:1])

    def convolve(x: Array, variables: Any) -> Array:
        return cast(Array, layer.apply(variables, x))

    bias = variables["params"]["bias"]
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), (variables, x, weights))

        @jax.jit
        def exact(variables: Any, x: Array, weights: Array) -> tuple[Array, Any]:
            y, pull = jax.vjp(partial(convolve, x), variables)
            return y, pull(weights)[0]["params"]["kernel"]

        y, gradient = exact(*wide)
        expected = (np.asarray(y), np.asarray(gradient))
    yield from _two_passes(case, impl, batch, convolve, (variables,), x, weights, bias, expected, repeats)
    fixed = jax.jit(partial(prepared, layer))(variables, x)
    timing = measure(lambda fixed, x: convolve(x, fixed), fixed, x, repeats=repeats)
    yield _row(case, impl, batch, "cached", timing, expected[0], x, bias)


def _two_passes(
    case: Case,
    impl: str,
    batch: int,
    convolve: Callable[..., Array],
    free: tuple[Any, ...],
    x: Array,
    weights: np.ndarray,
    bias: Array,
    expected: Expected,
    repeats: int,
) -> Iterator[Row]:
    def loss(free: tuple[Any, ...], x: Array) -> Array:
        return jnp.vdot(weights, convolve(x, *free))

    forward = measure(lambda free, x: convolve(x, *free), free, x, repeats=repeats)
    yield _row(case, impl, batch, "forward", forward, expected[0], x, bias)
    both = measure(jax.grad(loss, argnums=(0, 1)), free, x, repeats=repeats)
    yield _row(case, impl, batch, "forward+backward", both, expected[1])


def _row(
    case: Case,
    impl: str,
    batch: int,
    pass_: str,
    timing: Timing,
    expected: np.ndarray | None,
    x: Array | None = None,
    bias: Array | None = None,
) -> Row:
    isometry = None
    if x is None:
        found = timing.result[0][0]  # the gradient of the first free parameter
        found = found["params"]["kernel"] if isinstance(found, dict) else found
    else:
        found = timing.result
        lengths = [np.linalg.norm(np.asarray(v, np.float64).reshape(batch, -1), axis=1) for v in (found - bias, x)]
        isometry = float(np.abs(lengths[0] / lengths[1] - 1).max())
    error = None if expected is None else relative_error(found, expected)
    return timed_row(case.name, impl, batch, pass_, timing, error, isometry)


def reference(case: Case, drawn: Parameters, x: Array, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Output and gradient of the kernel in float64, by the factored form that the tests hold to explicit Q at 1e-12."""
    with jax.enable_x64(True):
        kernel, alpha, bias = (jnp.asarray(v, jnp.float64) for v in (drawn.kernel, drawn.alpha, drawn.bias))
        wide, cotangent = jnp.asarray(np.asarray(x), jnp.float64), jnp.asarray(weights, jnp.float64)

        @jax.jit
        def exact(kernel: Array) -> tuple[Array, Array]:
            y, pull = jax.vjp(lambda kernel: cayley.cayley_conv(wide, kernel, alpha, bias), kernel)
            return y, pull(cotangent)[0]

        y, gradient = exact(kernel)
        return np.asarray(y), np.asarray(gradient)
