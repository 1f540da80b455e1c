"""Batches of one size: all items once and in order, the last batch filled up."""

import numpy as np
import pytest

from robust_iqa_jax.data.batches import padded_batches


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("count", [1, 3, 7, 8])
def test_batches_hold_all_items_in_order_and_repeat_the_last_one(count, size):
    items = np.arange(count * 2).reshape(count, 2).astype(np.uint8)
    batches = list(padded_batches(iter(items), size))
    assert len(batches) == -(-count // size)
    assert {(batch.shape, batch.dtype) for batch, _ in batches} == {((size, 2), np.dtype(np.uint8))}
    np.testing.assert_array_equal(np.concatenate([batch[:rows] for batch, rows in batches]), items)
    last, rows = batches[-1]
    np.testing.assert_array_equal(last[rows:], np.repeat(items[-1:], size - rows, 0))


def test_items_are_read_as_they_are_needed_and_none_give_no_batch():
    read = []
    batches = padded_batches((read.append(i) or i for i in range(5)), 2)
    next(batches)
    assert read == [0, 1]
    assert list(padded_batches([], 2)) == []
