"""Distillation: labels between people's scores and those of a teacher that sees the photos as they are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_backbone

from robust_iqa_jax.defenses.distillation import DistillationConfig, taught_labels
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import init
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import CropSpec, ModelSpec
from robust_iqa_jax.setting_error import SettingError
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.run import resolve

SPEC = ModelSpec(backbone="tiny", taps=("first", "second"), input_size=(32, 32))
SCALE = Calibration(*map(jnp.float32, (20, 50, 10, 90)))
LABELS = np.float32([10, 50, 90])


def photos(side):
    return np.random.default_rng(0).uniform(0, 1, (3, side, side, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def teacher():
    with tiny_backbone.registered():
        yield Scorer(init(SPEC, jax.random.key(0)), SCALE, SPEC)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_labels_lie_between_peoples_scores_and_the_scores_that_the_teacher_gives(teacher, share):
    x = photos(32)
    expected = (1 - share) * LABELS + share * np.asarray(teacher(x))
    np.testing.assert_allclose(taught_labels(teacher, share, x, jnp.asarray(LABELS)), expected, rtol=1e-5)


def test_crops_are_not_brought_to_the_size_of_whole_photos(teacher):
    x = photos(16)
    of_this_size = dataclasses.replace(teacher, spec=dataclasses.replace(SPEC, input_size=(16, 16)))
    taught = taught_labels(teacher, 1.0, x, jnp.asarray(LABELS))
    np.testing.assert_allclose(taught, of_this_size(x), rtol=1e-5)
    assert np.abs(taught - teacher(x)).max() > 0.1


def test_a_share_outside_the_unit_interval_is_refused():
    with pytest.raises(ValueError, match=r"share must lie between 0 and 1, got 1\.5"):
        DistillationConfig(share=1.5)


def test_a_teacher_that_reads_windows_of_its_own_is_refused(teacher, tmp_path):
    windows = dataclasses.replace(SPEC, crops=CropSpec(side=16, rows=2, columns=2))
    checkpoint.save(tmp_path, dataclasses.replace(teacher, spec=windows))
    config = TrainConfig(model=SPEC, batch_size=2, distillation=DistillationConfig(teacher=str(tmp_path)))
    with pytest.raises(SettingError, match="reads windows of 16 pixels"):
        resolve(config, LABELS)


def test_a_teacher_that_is_not_there_is_named(tmp_path):
    config = TrainConfig(model=SPEC, distillation=DistillationConfig(teacher=str(tmp_path / "gone")))
    with tiny_backbone.registered(), pytest.raises(SettingError, match="gone"):
        resolve(config, np.repeat(LABELS, 4))
