"""`riqa bench NAME`: speed of the spectral core and of the models, against alternatives and the machine's limits.
Example: riqa bench robust_block --case position6 --batch 1 8 --json rows.json"""

import importlib
from contextlib import nullcontext
from typing import Any

from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.progress import err, out
from robust_iqa_jax.files import check_file, check_folder
from robust_iqa_jax.wording import unknown

BENCHES = {
    "robust_block": "the orthogonal convolution against other constructions and PyTorch",
    "fft_core": "parts of the convolution; transforms by size and channels",
    "block_cost": "what the RobustBlock adds to a whole network",
    "accelerator": "everything worth knowing of a GPU or TPU, within 20 minutes",
    "growth": "cost of every construction against map side, channels and batch",
    "roofline": "what bounds the convolution: each of its products and transforms alone",
    "solvers": "inverses of the Cayley system, exact and approximate",
    "models": "quality models against the same models in PyTorch",
    "attack_speed": "PGD against the usual loop in PyTorch",
    "training": "parts of a training step, and whether reading photos keeps up",
}


def main(args: list[str]) -> int:
    """Run the command; its exit status."""
    if not args or args[0] not in BENCHES:
        asked = bool(args) and args[0] in ("-h", "--help")
        lines = [f"  {name:<14} {what}" for name, what in BENCHES.items()]
        if asked:
            usage = ["usage: riqa bench NAME [options], NAME one of", *lines, "", *(__doc__ or "").split("\n")[1:]]
            out.print("\n".join(usage), markup=False)
            return 0
        wrong = unknown("benchmark", args[0], BENCHES) if args else f"give a benchmark: {', '.join(BENCHES)}"
        err.print(f"riqa bench: {wrong}", markup=False)
        return 2
    bench = importlib.import_module(f"robust_iqa_jax.benchmarks.{args[0]}")
    given = parsed(bench.Args, args[1:], f"riqa bench {args[0]}", bench.__doc__)
    check_output(given)
    with _traced(given.output.trace):
        bench.main(given)
    return 0


def check_output(given: Any) -> None:
    """Raise ValueError for files and folders of a benchmark's options that cannot be, or may not be, written."""
    if given.output.json is not None:
        check_file(given.output.json, "--json")
    folders = {"results": given.output.results, "trace": given.output.trace, "plots": getattr(given, "plots", None)}
    for option, folder in folders.items():
        if folder is not None:
            check_folder(folder, f"--{option}")


def _traced(folder: Any) -> Any:
    import jax

    return nullcontext() if folder is None else jax.profiler.trace(str(folder))
