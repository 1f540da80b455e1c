"""The command `riqa`: finds the command's file and turns a user's mistake into one line and an exit status.
0 it worked, 1 it failed, 2 bad arguments, 130 and 143 Ctrl-C and SIGTERM. RIQA_TRACEBACK=1 shows an error's origin."""

import importlib
import io
import os
import sys
import traceback
import warnings
from pathlib import Path

from robust_iqa_jax.compilation_cache import keep_compiled_programs
from robust_iqa_jax.extras import missing
from robust_iqa_jax.setting_error import with_options

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
    "certify": "scores of photos with intervals that no small change can leave",
    "models": "the models by name, their size, input and score range",
    "convert": "a checkpoint of PyTorch, safetensors, Flax or orbax as one of ours",
    "export": "a model as a program that JAX alone runs, in a folder for a model hub",
    "bench": "speed of the spectral core",
}

GO_ON = ("quickstart", "study", "train", "evaluate")
"""Commands that keep what they have done and go on from it."""


def main(argv: list[str] | None = None) -> int:
    """Run one command line (default: the process's) and return its exit status."""
    args = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):  # file names need not be text: what cannot be printed is escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
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
        from robust_iqa_jax.wording import unknown

        print(f"riqa: {unknown('command', args[0], COMMANDS)}", file=sys.stderr)
        return 2
    warnings.showwarning = lambda text, *_, **__: print(f"riqa {args[0]}: {text}", file=sys.stderr)
    if args[0] != "bench" and "jax" not in sys.modules:  # benchmarks time the compiling too
        keep_compiled_programs(os.environ)
    try:
        command = importlib.import_module(f"robust_iqa_jax.commands.{args[0]}")
        status = command.main(args[1:])
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # who read the output, such as `head`, has enough: no more is written, at exit neither
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        goes_on = "; the same command goes on from there" if args[0] in GO_ON else ""
        print(f"riqa {args[0]}: interrupted{goes_on}", file=sys.stderr)
        return 130
    except Exception as error:
        from robust_iqa_jax.training.termination import Terminated

        if os.environ.get("RIQA_TRACEBACK") and not isinstance(error, Terminated):
            raise
        print(f"riqa {args[0]}: {' '.join(message(error).split())}", file=sys.stderr)
        return 143 if isinstance(error, Terminated) else 1


def message(error: Exception) -> str:
    """What a user is told of an error: what is wrong and, where it is known, what to do."""
    text = with_options(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text:
        return f"memory is not enough ({text[:200] or 'MemoryError'}); take smaller batches or smaller images"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if text and type(error).__module__.startswith("robust_iqa_jax."):
        return text
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        return missing(error.name)
    if text and isinstance(error, (ValueError, OSError, FloatingPointError)):
        return text
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    return f"unexpected {type(error).__name__}: {text} ({where}); RIQA_TRACEBACK=1 shows how it came to this"


if __name__ == "__main__":
    sys.exit(main())
