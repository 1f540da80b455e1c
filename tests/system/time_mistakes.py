"""How long every mistake of test_user_mistakes.py takes as a user meets it: a process of its own, its start included.

python tests/system/time_mistakes.py [WORDS...]

prints seconds, status and the line, slowest first; with WORDS only of mistakes whose name has all of them.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "support")]


def main(words: list[str]) -> None:
    import mistaken_folder
    import tiny_backbone
    from test_user_mistakes import MISTAKES

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with tiny_backbone.registered():
            mistaken_folder.write(folder)
        rows = []
        for what, mistake in MISTAKES.items():
            if isinstance(mistake.act, str) and all(word in what for word in words):
                began = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, __file__, "--one", *shlex.split(mistake.act)],
                    cwd=folder, env=os.environ | mistake.environment, capture_output=True, text=True,
                )  # fmt: skip
                rows.append((time.perf_counter() - began, done.returncode, what, done.stderr.strip()))
    for seconds, status, what, line in sorted(rows, reverse=True):
        print(f"{seconds:5.1f} s  {status}  {what}: {line}")


def one(argv: list[str]) -> int:
    """The command `riqa` with the backbone of the folder's checkpoints."""
    from robust_iqa_jax.cli import main

    if not any(argument in ("--checkpoint", "--start-from", "evaluate", "prune") for argument in argv):
        return main(argv)
    import tiny_backbone

    with tiny_backbone.registered():
        return main(argv)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        sys.exit(one(sys.argv[2:]))
    main(sys.argv[1:])
