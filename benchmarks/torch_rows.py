"""PyTorch rows of benchmarks/robust_block.py: the paper's algorithm, written from its formulas, and orthogonium's AOC.
Each row runs in a process of its own, so that its peak memory is its own."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from robust_iqa_jax.benchmarks.cases import case_of, maps, parameters
from robust_iqa_jax.benchmarks.measure import Row, median_and_spread, relative_error

IMPLS = {"torch-explicit-q": "torch", "orthogonium-aoc": "orthogonium"}
"""Name of the row -> package that it needs."""


def row(case: str, impl: str, batch: int, pass_: str, repeats: int, expected: np.ndarray | None) -> Row:
    """Measure one row in a fresh process; `expected` is what its output is compared with."""
    # -P: a checkout in the current folder would hide the installed package
    command = [sys.executable, "-P", "-m", __name__, case, impl, str(batch), pass_, str(repeats)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    header, _, body = done.stdout.partition(b"\n")
    facts: dict[str, Any] = json.loads(header)
    found = np.frombuffer(body, np.float32)
    error = None
    if expected is not None:
        error = relative_error(found.reshape(expected.shape), expected)
    return Row(case, impl, batch, pass_, **facts, rel_err=error)


def main(case_name: str, impl: str, batch: int, pass_: str, repeats: int) -> None:
    """Time one row here; writes a JSON line, then the output (or the kernel's gradient) as float32 bytes."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    case = case_of(case_name)
    x = torch.from_numpy(np.array(maps(case, batch))).permute(0, 3, 1, 2).contiguous()
    weights = torch.from_numpy(np.array(cotangent(case_name, batch))).permute(0, 3, 1, 2).contiguous()
    layer = (_explicit_q if impl == "torch-explicit-q" else _orthogonium)(case_name)
    leaf: Any = layer.kernel  # pyright: ignore[reportFunctionMemberAccess]
    x.requires_grad_(pass_ != "forward")

    def call() -> Any:
        if pass_ == "forward":
            with torch.no_grad():
                return layer(x)
        x.grad = leaf.grad = None
        (layer(x) * weights).sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    result = call()
    first, seconds = time.perf_counter() - began, []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    median, spread = median_and_spread(seconds)
    if pass_ == "forward":
        result = result.permute(0, 2, 3, 1)
    elif result.ndim == 4:
        result = result.permute(2, 3, 1, 0)
    header = {"median_s": median, "spread_s": spread, "compile_s": first, "peak_bytes": peak}
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + result.contiguous().numpy().tobytes())


def cotangent(case_name: str, batch: int) -> np.ndarray:
    """Fixed weights of the output in the scalar whose gradient is timed, (batch, n, n, out) float32."""
    case = case_of(case_name)
    shape = (batch, case.side, case.side, case.channels_out)
    return np.random.default_rng(2).normal(size=shape).astype(np.float32)


def _explicit_q(case_name: str) -> Callable[[Any], Any]:
    """arXiv 2506.04951: transform of the padded kernel, Q for every frequency by torch.inverse, Q X, back.
    As published but for the width given to irfft2, without which an odd map loses a column."""
    import torch

    case = case_of(case_name)
    drawn = parameters(case)
    n, ci = case.side, min(case.channels_in, case.channels_out)
    kernel = torch.from_numpy(drawn.kernel).float().permute(3, 2, 0, 1).contiguous().requires_grad_()
    alpha, bias = torch.tensor(drawn.alpha), torch.from_numpy(drawn.bias).float()
    f = torch.arange(n)
    shift = torch.exp(-2j * torch.pi * (f[:, None] + f[None, : n // 2 + 1]) / n).reshape(-1, 1, 1)
    eye = torch.eye(ci, dtype=torch.complex64)

    def layer(x: Any) -> Any:
        spectrum = torch.fft.rfft2(x.double()).to(torch.complex64)
        w = torch.fft.rfft2(kernel, (n, n)).conj().permute(2, 3, 0, 1).reshape(-1, *kernel.shape[:2]) * shift
        w = w * (alpha / kernel.norm())
        tall = w if w.shape[1] >= w.shape[2] else w.transpose(1, 2)
        u, v = tall[:, :ci], tall[:, ci:]
        a = u - u.conj().transpose(1, 2) + v.conj().transpose(1, 2) @ v
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # batched inverses fail in MKL on some machines with more than one
        inverse = torch.inverse(eye + a)
        torch.set_num_threads(threads)
        q = torch.cat([inverse @ (eye - a), -2 * v @ inverse], dim=1)
        q = q if w.shape[1] >= w.shape[2] else q.transpose(1, 2)
        columns = spectrum.permute(2, 3, 1, 0).reshape(q.shape[0], q.shape[2], -1)
        y = (q @ columns).reshape(n, n // 2 + 1, q.shape[1], -1).permute(3, 2, 0, 1)
        return torch.fft.irfft2(y, (n, n)) + bias[:, None, None]

    layer.kernel = kernel  # pyright: ignore[reportFunctionMemberAccess]
    return layer


def _orthogonium(case_name: str) -> Callable[[Any], Any]:
    """arXiv 2501.07930 as its authors ship it, circular, with its default iterations, in training mode."""
    import torch
    from orthogonium.layers.conv.AOC import AdaptiveOrthoConv2d  # pyright: ignore[reportMissingImports]

    case = case_of(case_name)
    torch.manual_seed(0)
    module = AdaptiveOrthoConv2d(case.channels_in, case.channels_out, 3, padding="same", padding_mode="circular")
    # the free kernel has another shape than the convolution's: report the gradient of the largest free parameter
    largest = max(module.parameters(), key=lambda p: p.numel())

    def layer(x: Any) -> Any:
        return module(x)

    layer.kernel = largest  # pyright: ignore[reportFunctionMemberAccess]
    return layer


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
