"""`riqa bench NAME`: speed of the spectral core and of the models, against alternatives and the machine's limits.
Example: riqa bench robust_block --case position6 --batch 1 8 --json rows.json"""

import importlib

import tyro

from robust_iqa_jax.commands.progress import err

BENCHES = {
    "robust_block": "the orthogonal convolution against other constructions and PyTorch",
    "fft_core": "parts of the convolution; transforms by size and channels",
    "block_cost": "what the RobustBlock adds to a whole network",
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
        unknown = [f"riqa bench: unknown benchmark {args[0]!r}"] if args and not asked else []
        text = "\n".join(
            [*unknown, "usage: riqa bench NAME [options], NAME one of", *lines, "", *(__doc__ or "").split("\n")[1:]]
        )
        (print if asked else lambda t: err.print(t, markup=False, highlight=False))(text)
        return 0 if asked else 2
    bench = importlib.import_module(f"robust_iqa_jax.benchmarks.{args[0]}")
    bench.main(tyro.cli(bench.Args, args=args[1:], prog=f"riqa bench {args[0]}", description=bench.__doc__))
    return 0
