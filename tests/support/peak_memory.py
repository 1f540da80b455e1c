"""The most memory that this process had since a moment, from Linux's /proc (proc(5): clear_refs, VmHWM).

Not getrusage's ru_maxrss: that of a new process begins at what its parent had.
"""

import re
from pathlib import Path


def restart_peak() -> int:
    """Forget the peak so far; KiB in use now."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    """KiB, the most since `restart_peak`, or since the start of the program."""
    return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
