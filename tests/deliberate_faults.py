"""Whether the default tests catch faults: each of support/deliberate_faults.json is made in a copy of the checkout.

    python tests/deliberate_faults.py [WORDS...]

prints for each fault (with WORDS: those whose name or file has one of them) the test that catches it, or MISSED, and
ends with status 1 where one is missed or cannot be made any more because the code has changed.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("robust_iqa_jax", "kernels", "configs", "benchmarks", "tests", "docs")


def main(words: list[str]) -> int:
    faults = json.loads((ROOT / "tests" / "support" / "deliberate_faults.json").read_text())
    chosen = [f for f in faults if not words or any(word in f["fault"] or word in f["file"] for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in PACKAGES:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
        for file in ROOT.iterdir():
            if file.is_file():
                shutil.copy(file, copy)
        results = [caught_by(fault, copy) for fault in chosen]
    return int(any(test is None for test in results))


def caught_by(fault: dict[str, Any], copy: Path) -> str | None:
    """The first test that fails with the fault, printed; None where there is none."""
    file = copy / fault["file"]
    text = file.read_text()
    if fault["text"] not in text:
        print(f"{fault['fault']} ({fault['file']}): NOT MADE, the code has changed", flush=True)
        return None
    file.write_text(text.replace(fault["text"], fault["becomes"], 1))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", *fault["tests"]]
    done = subprocess.run(
        command, cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True
    )
    file.write_text(text)
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    test = failed[0] if done.returncode == 1 and failed else None
    print(
        f"{'caught' if test else 'MISSED'}  {fault['fault']} ({fault['file']}): {test or done.stdout[-200:]}",
        flush=True,
    )
    return test


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
