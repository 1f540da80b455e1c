"""One line on standard error that says how far something is, for notebooks and scripts; commands have bars.
Source: this project."""

import sys
import time
from collections.abc import Callable


class ProgressLine:
    """Called with the number of images after each batch; writes over its own line, and ends it with the last image."""

    def __init__(self, what: str, total: int, then: Callable[[int], None] = lambda images: None) -> None:
        """Of `total` images; `then` is called with each number as well."""
        self._what, self._total, self._then = what, total, then
        self._done, self._start = 0, time.monotonic()

    def __call__(self, images: int) -> None:
        """So many more are done."""
        self._done += images
        seconds = time.monotonic() - self._start
        end = "\n" if self._done >= self._total else ""
        sys.stderr.write(f"\r{self._what}: {self._done} of {self._total} images attacked, {seconds:.0f} s{end}")
        sys.stderr.flush()
        self._then(images)
