"""Photos of a run from several data sets: one scale, shares of an epoch, what each holds out."""

from collections import Counter

import numpy as np
import photo_tables
import pytest

from robust_iqa_jax.data.photo_set import PhotoSet, joined
from robust_iqa_jax.data.pipeline import training_batches
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.photos import run_photos


def photos(count, first, label="mos"):
    """Photo i has all pixels first + i and the score i."""
    return PhotoSet(
        names=tuple(map(str, range(count))),
        scores=np.arange(float(count)),
        label=label,
        load=lambda i: np.full((2, 2, 3), first + i, np.uint8),
        groups=("",) * count,
    )


def test_joined_photos_are_those_of_the_sets_on_one_scale():
    both = joined([photos(3, 0), photos(2, 100)], [(1, 0), (10, -5)], [1, 4])
    np.testing.assert_array_equal(both.scores, [0, 1, 2, -5, 5])
    assert [both.load(i)[0, 0, 0] for i in range(5)] == [0, 1, 2, 100, 101]
    assert (both.times, len(set(both.names))) == ((1, 1, 1, 4, 4), 5)
    last = both.subset([4, 0])
    assert (last.load(0)[0, 0, 0], last.times, last.scores.tolist()) == (101, (4, 1), [5, 0])
    with pytest.raises(IndexError):
        both.load(5)


def test_an_epoch_takes_each_photo_as_often_as_it_is_told():
    both = joined([photos(6, 0), photos(2, 100)], [(1, 0)] * 2, [1, 3])
    batches = training_batches(both.load, both.scores, 4, 0, lambda image, rng: image, times=both.times)
    epochs = [np.concatenate([next(batches)["inputs"][:, 0, 0, 0] for _ in range(3)]).tolist() for _ in range(2)]
    assert [Counter(epoch) for epoch in epochs] == [Counter({**dict.fromkeys(range(6), 1), 100: 3, 101: 3})] * 2
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize(
    ("sets", "lines", "times", "message"),
    [
        ([photos(2, 0)] * 2, [(1, 0)], [1, 1], "2 data sets, 1 lines"),
        ([photos(2, 0)] * 2, [(1, 0), (0, 1)], [1, 1], "slope must be above 0"),
        ([photos(2, 0)] * 2, [(1, 0)] * 2, [1, 0], "must be 1 or more"),
        ([photos(2, 0), photos(2, 0, "pseudo_mos")], [(1, 0)] * 2, [1, 1], "labels of two kinds"),
    ],
)
def test_sets_that_do_not_go_together_are_refused(sets, lines, times, message):
    with pytest.raises(ValueError, match=message):
        joined(sets, lines, times)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return [
        str(photo_tables.write_photo_table(tmp_path_factory.mktemp(name), count=8, side=12)) for name in ("one", "two")
    ]


def test_a_configuration_names_several_sets_and_what_each_holds_out(tables):
    one, two = tables
    alone = run_photos(TrainConfig(data=one))
    config = TrainConfig(data=one, also=(two,), also_test_groups=("test",), also_lines=((2, 1),), also_times=(3,))
    both = run_photos(config)
    assert list(both.tests) == [one, two]
    own = len(alone.training)
    np.testing.assert_array_equal(both.training.scores[:own], alone.training.scores)
    np.testing.assert_array_equal(both.training.scores[own:], 2 * alone.training.scores + 1)  # the same table twice
    assert set(both.training.times) == {1, 3}
    assert len(run_photos(TrainConfig(data=one, also=(two,), also_test_groups=("none",))).training) == own + 8


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"also_test_groups": ()}, "also_test_groups: 0 given for 1 data sets"),
        ({"also_test_groups": ("test",), "also_times": (1, 2)}, "also_times: 2 given for 1"),
        ({"also_test_groups": ("nowhere",)}, "nowhere: not in the data"),
    ],
)
def test_what_is_not_one_for_each_set_is_refused(tables, fields, message):
    one, two = tables
    with pytest.raises(ValueError, match=message):
        run_photos(TrainConfig(data=one, also=(two,), **fields))
