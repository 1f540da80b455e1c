"""l2 structured pruning against a numpy ranking of filters, and what masks do to parameters and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_iqa_jax.defenses.pruning import apply_masks, l2_filter_masks, pruned_share


def params(seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    return {
        "conv": {"kernel": draw(3, 3, 4, 20), "bias": draw(20)},
        "block": {"cayley": {"kernel": draw(3, 3, 5, 30), "alpha": draw()}},
        "depthwise": {"kernel": draw(3, 3, 12)},
        "dense": {"kernel": draw(20, 10)},
    }


@pytest.mark.parametrize("amount", [0, 0.1, 0.25])
def test_drops_the_filters_with_the_smallest_norm_of_each_convolution(amount):
    tree = params()
    masks = l2_filter_masks(tree, amount)
    assert sorted(masks) == ["block/cayley/kernel", "conv/kernel", "depthwise/kernel"]
    for path, mask in masks.items():
        leaf = tree
        for part in path.split("/"):
            leaf = leaf[part]
        norms = np.linalg.norm(np.asarray(leaf).reshape(-1, leaf.shape[-1]), axis=0)
        dropped = np.argsort(norms)[: round(amount * len(norms))]
        assert sorted(np.flatnonzero(np.asarray(mask) == 0)) == sorted(dropped)


def test_masked_filters_are_zero_and_receive_no_gradient():
    tree = params()
    masks = l2_filter_masks(tree, 0.1)
    masked = apply_masks(tree, masks)
    gradient = jax.grad(lambda p: sum(jnp.sum((x - 1) ** 2) for x in jax.tree.leaves(apply_masks(p, masks))))(tree)
    off = np.flatnonzero(np.asarray(masks["conv/kernel"]) == 0)
    assert len(off) == 2
    assert not np.asarray(masked["conv"]["kernel"])[..., off].any()
    assert not np.asarray(gradient["conv"]["kernel"])[..., off].any()
    np.testing.assert_array_equal(masked["dense"]["kernel"], tree["dense"]["kernel"])
    assert pruned_share(masks) == pytest.approx((2 + 3 + 1) / (20 + 30 + 12))


def test_amount_outside_the_unit_interval_is_refused():
    with pytest.raises(ValueError, match=r"amount must lie in \[0, 1\), got 1"):
        l2_filter_masks(params(), 1.0)
