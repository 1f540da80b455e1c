"""The command `riqa`: finds the command's file and turns a user's mistake into one line and an exit status.
0 it worked, 1 it failed, 2 bad arguments, 130 and 143 Ctrl-C and SIGTERM. RIQA_TRACEBACK=1 shows an error's origin."""

import importlib
import os
import sys

from robust_iqa_jax.training.termination import Terminated

COMMANDS = {
    "quickstart": "train, prune, attack and report on embedded photos, in minutes",
    "study": "train models with and without the block, attack them, report: one command",
    "train": "train a model from a configuration file",
    "evaluate": "accuracy and robustness of checkpoints on labelled photos",
    "report": "a report folder as web page, LaTeX and Markdown, beside the published numbers",
    "compare": "which of two evaluated models is more robust",
    "prune": "a checkpoint without its least important filters, smaller with --compact",
    "attack": "adversarial versions of photos",
    "score": "quality scores of photos",
    "models": "the models by name, their size, input and score range",
    "convert": "a checkpoint of PyTorch, safetensors, Flax or orbax as one of ours",
    "bench": "speed of the spectral core",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command line (default: the process's) and return its exit status."""
    args = sys.argv[1:] if argv is None else argv
    if not args or args[0] in ("-h", "--help"):
        print("usage: riqa COMMAND [options]\n\nAdversarially robust no-reference image-quality assessment.\n")
        print("\n".join(f"  {name:<12} {what}" for name, what in COMMANDS.items()))
        print("\nriqa COMMAND --help shows the options and an example.")
        return 0
    if args[0] == "--version":
        from robust_iqa_jax import __version__

        print(f"riqa {__version__}")
        return 0
    if args[0] not in COMMANDS:
        print(f"riqa: unknown command {args[0]!r}; choose one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        command = importlib.import_module(f"robust_iqa_jax.commands.{args[0]}")
        return command.main(args[1:])
    except (ValueError, OSError, FloatingPointError) as error:
        if os.environ.get("RIQA_TRACEBACK"):
            raise
        print(f"riqa {args[0]}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"riqa {args[0]}: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    except Terminated as end:
        print(f"riqa {args[0]}: {end}", file=sys.stderr)
        return 143


if __name__ == "__main__":
    sys.exit(main())
