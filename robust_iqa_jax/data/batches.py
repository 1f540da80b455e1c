"""Batches of one size from things in order: a compiled program sees one shape, whatever their number.
The last batch is filled up by repeating its last item; how many items count is said beside it."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike


def padded_batches(items: Iterable[ArrayLike], size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Stacks of `size` items in order, read as they are needed.

    Args:
      items: arrays of one shape and type, or an array whose rows they are.
      size: of a batch, 1 or more.

    Yields:
      (size, ...) and how many of its rows are items; the others repeat the last one.
    """
    remaining = iter(items)
    while rows := [np.asarray(item) for item in islice(remaining, size)]:
        yield np.stack(rows + [rows[-1]] * (size - len(rows))), len(rows)
