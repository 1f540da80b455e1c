"""Times one jitted function: compile time, median and spread of its runs, memory as XLA plans it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np

from robust_iqa_jax.work import work_of


@dataclass(frozen=True)
class Row:
    """One line of a result; fields that do not apply are None.

    Attributes:
      case: name of the shape.
      impl: what was run.
      batch: photos in one call.
      pass_: "forward", "forward+backward" or "cached"; written as "pass".
      median_s: median seconds of a call.
      spread_s: distance of its quartiles.
      compile_s: seconds to compile, of the first call for what is not compiled.
      peak_bytes: arguments, results and temporaries together; resident memory above the start for PyTorch.
      flops, bytes: as robust_iqa_jax.work counts them; bytes that stay in a cache count too.
      rel_err: largest difference from the float64 result, relative to its largest entry; of the kernel's gradient for
        a backward pass.
      isometry_err: largest ||y| / |x| - 1| over the batch.
    """

    case: str
    impl: str
    batch: int
    pass_: str
    median_s: float
    spread_s: float
    compile_s: float
    peak_bytes: int | None = None
    flops: float | None = None
    bytes: float | None = None
    rel_err: float | None = None
    isometry_err: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain dict, `pass_` as "pass"."""
        return {name.rstrip("_"): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Timing:
    """What `measure` finds; fields as in Row, and the function's result."""

    result: Any
    median_s: float
    spread_s: float
    compile_s: float
    peak_bytes: int | None
    flops: float
    bytes: float


def measure(function: Callable[..., Any], *arguments: Any, repeats: int = 5) -> Timing:
    """Compile, warm up with one call, then time `repeats` calls, each to the end of its computation."""
    return measure_in_turns({"": (function, arguments)}, repeats)[""]


def measure_in_turns(
    calls: Mapping[str, tuple[Callable[..., Any], tuple[Any, ...]]], repeats: int = 5
) -> dict[str, Timing]:
    """`measure` of several functions whose times are to be compared: they take turns, so that what else a machine does
    meets all of them.

    Args:
      calls: name -> function and arguments.
      repeats: timed calls of each.
    """
    compiled, facts, results = {}, {}, {}
    for name, (function, arguments) in calls.items():
        began = time.perf_counter()
        compiled[name] = jax.jit(function).lower(*arguments).compile()
        compile_s = time.perf_counter() - began
        memory, work = compiled[name].memory_analysis(), work_of(function, *arguments)
        peak = None
        if memory is not None:
            peak = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
        facts[name] = (compile_s, peak, work.flops, work.bytes)
        results[name] = jax.block_until_ready(compiled[name](*arguments))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, (_, arguments) in calls.items():
            began = time.perf_counter()
            jax.block_until_ready(compiled[name](*arguments))
            seconds[name].append(time.perf_counter() - began)
    return {name: Timing(results[name], *median_and_spread(seconds[name]), *facts[name]) for name in calls}


def stopwatch(call: Callable[[], Any], repeats: int) -> tuple[Any, list[float]]:
    """Result of a first call, which warms up, and the seconds of `repeats` more."""
    result, seconds = call(), []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return result, seconds


def timed_row(
    case: str,
    impl: str,
    batch: int,
    pass_: str,
    timing: Timing,
    rel_err: float | None = None,
    isometry_err: float | None = None,
) -> Row:
    """Row of a measured function."""
    facts = (timing.median_s, timing.spread_s, timing.compile_s, timing.peak_bytes, timing.flops, timing.bytes)
    return Row(case, impl, batch, pass_, *facts, rel_err, isometry_err)


def relative_error(found: np.ndarray | jax.Array, expected: np.ndarray | jax.Array) -> float:
    """Largest difference, relative to the largest entry that is expected."""
    found, expected = np.asarray(found), np.asarray(expected)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def median_and_spread(seconds: list[float]) -> tuple[float, float]:
    """Median, and distance of the quartiles."""
    low, median, high = np.quantile(seconds, (0.25, 0.5, 0.75))
    return float(median), float(high - low)
