"""Pruning in rounds: how much when, masks that only grow, and runs that are interrupted beside a round."""

import dataclasses
import os
import signal

import jax
import numpy as np
import pytest
from finished_runs import assert_same_model, model_tensors
from flax import traverse_util

from robust_iqa_jax.defenses.masks import convolution_kernels
from robust_iqa_jax.defenses.pruning import gradual_shares
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training import loop
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.termination import Terminated

SPEC = ModelSpec(backbone="tiny", taps=("first", "second"), input_size=(32, 32))
CONFIG = TrainConfig(
    model=SPEC, batch_size=4, steps=12, learning_rate=1e-3, ema=0.5, prune=0.5, prune_rounds=3, checkpoint_every=100
)

pytestmark = pytest.mark.usefixtures("hardly_optimised", "tiny_photos")


@pytest.fixture(scope="module")
def whole(tiny_training, tmp_path_factory):
    """The run's folder, and the masks after each round: (share, masks)."""
    folder, rounds = tmp_path_factory.mktemp("whole"), []
    with pytest.MonkeyPatch.context() as patch:

        def recorded(run, share, *args):
            state = prune_state(run, share, *args)
            rounds.append((share, jax.tree.map(np.array, state.masks)))  # the step takes the state's memory
            return state

        prune_state = loop.prune_state
        patch.setattr(loop, "prune_state", recorded)
        loop.train(CONFIG, tiny_training, folder)
    return folder, rounds


def test_the_share_grows_as_published():
    # 1 - (1 - r/3)^3 of one half, r = 1, 2, 3; the last round before the seventh of twelve steps
    assert gradual_shares(0.5, 3, 12) == pytest.approx({1: 19 / 54, 3: 26 / 54, 5: 0.5})
    assert gradual_shares(0.5, 1, 12) == {1: 0.5}
    assert gradual_shares(0.0, 1, 12) == {}
    assert list(gradual_shares(0.5, 6, 12)) == [1, 2, 3, 4, 5, 6]


def test_masks_only_grow_and_end_at_the_share(whole):
    folder, rounds = whole
    tensors = model_tensors(folder)
    assert [share for share, _ in rounds] == pytest.approx([26 / 54, 0.5])
    (_, before), (_, after) = rounds
    assert all((after[path] <= before[path]).all() for path in before)
    nested = traverse_util.unflatten_dict(
        {name.removeprefix("params/"): leaf for name, leaf in tensors.items() if name.startswith("params/")}, sep="/"
    )
    kernels = convolution_kernels(nested)
    assert kernels.keys() == after.keys()
    for path, kernel in kernels.items():
        off = after[path] == 0
        assert off.sum() == round(0.5 * off.size), path
        assert not kernel[..., off].any(), path
        assert all(kernel[..., i].any() for i in np.flatnonzero(~off)), path


@pytest.mark.slow
@pytest.mark.parametrize("at", [2, 3])
def test_a_run_that_ends_beside_a_round_goes_on_as_if_it_had_not(at, whole, tiny_training, tmp_path):
    """After step 2 the second round is due, after step 3 it is done."""

    def end(step, total, metrics):
        if step == at - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Terminated, match=f"after step {at} of 12"):
        loop.train(CONFIG, tiny_training, tmp_path, end)
    loop.train(CONFIG, tiny_training, tmp_path)
    assert_same_model(tmp_path, whole[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prune_rounds": 0}, "prune_rounds 0: 1 or more"),
        ({"prune": 0.0}, "prune_rounds 3: 1 or more; more than 1 need prune"),
        ({"prune_rounds": 7}, "prune_rounds 7: more than the first half of 12 steps has"),
        (
            {"cache_frozen": True, "train_from": "second", "backbone_stats": "frozen"},
            "cache_frozen: later rounds of prune_rounds change the frozen layers",
        ),
    ],
)
def test_rounds_that_cannot_be_are_refused(changes, message, tiny_training, tmp_path):
    with pytest.raises(ValueError, match=message):
        loop.train(dataclasses.replace(CONFIG, **changes), tiny_training, tmp_path)
