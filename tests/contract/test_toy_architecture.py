"""A new architecture is a file with a record and one line of the table: this file is one, and its model is trained,
read back, converted from a published file, scored and attacked like any other."""

import json
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from own_names import state_dict

import robust_iqa_jax as riqa
from robust_iqa_jax import attacks
from robust_iqa_jax.cli import main
from robust_iqa_jax.layers.batch_norm import BatchNorm
from robust_iqa_jax.models.architectures import ARCHITECTURES
from robust_iqa_jax.models.record import Architecture, preset
from robust_iqa_jax.models.registry import build
from robust_iqa_jax.models.releases import convert
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.loop import train
from robust_iqa_jax.training.run import resolve
from robust_iqa_jax.weights.conversion import LEAVES, Release

pytestmark = pytest.mark.usefixtures("hardly_optimised", "in_the_table")


class Toy(nn.Module):
    """A convolution, batch normalisation and a linear layer of the mean."""

    bn_axis_name: str | None = None

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.Conv(4, (3, 3), (2, 2), "VALID", use_bias=False, name="conv")(x)
        x = nn.softplus(BatchNorm(axis_name=self.bn_axis_name, name="bn")(x, train))
        return nn.Dense(1, name="score")(x.mean((1, 2)))


def published_name(path):
    _, module, leaf = path
    return f"net.{module}.{LEAVES[leaf]}"


SPEC = ModelSpec("toy", "none", (), (17, 17))
RECORD = Architecture(
    name="toy",
    title="Toy",
    paper="this test",
    build=lambda spec, bn_axis_name: Toy(bn_axis_name),
    block_points=lambda spec: (),
    normalisation=lambda spec: ((0.5, 0.4, 0.3), (0.25, 0.5, 1.0)),
    loss="absolute",
    releases=lambda spec: (Release("toys", published_name, lambda name: name.startswith("net.classifier.")),),
    presets={"toy": preset(SPEC, BlockSpec())},
    pretrained=lambda spec: {"params": {}, "batch_stats": {}},
)


@pytest.fixture(scope="module")
def in_the_table():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, RECORD.name, RECORD)
        yield


@pytest.fixture(scope="module")
def published(in_the_table):
    return state_dict(SPEC, RECORD.releases(SPEC)[0])


@pytest.fixture(scope="module")
def scorer(published):
    variables, report, release = convert({**published, "net.classifier.weight": np.zeros((2, 2))}, SPEC)
    assert (release.name, report.problems()) == ("toys", "")
    return Scorer(jax.tree.map(jnp.asarray, variables), Calibration.identity(), SPEC)


def score_by_hand(tensors, image):
    """The published network in numpy, in PyTorch's layout."""
    x = (image.astype(float) - (0.5, 0.4, 0.3)) / (0.25, 0.5, 1.0)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (0, 1))[::2, ::2]
    y = np.einsum("hwcij,ocij->hwo", windows, tensors["net.conv.weight"])
    y = (y - tensors["net.bn.running_mean"]) / np.sqrt(tensors["net.bn.running_var"] + 1e-5)
    y = np.logaddexp(y * tensors["net.bn.weight"] + tensors["net.bn.bias"], 0).mean((0, 1))
    return float(y @ tensors["net.score.weight"][0] + tensors["net.score.bias"][0])


def test_a_published_file_is_converted_and_a_photo_scored(scorer, published, tiny_photos):
    photo = np.float32(tiny_photos.load(0)[:17, :17] / 255)
    (score,) = scorer(jnp.asarray(photo[None]))
    assert float(score) == pytest.approx(score_by_hand(published, photo), rel=1e-5)


def test_it_is_attacked(scorer, tiny_photos):
    photos = jnp.asarray(np.stack([tiny_photos.load(i)[:20, :20] / 255 for i in range(2)]), jnp.float32)
    attacked = attacks.pgd(8 / 255, 3)(scorer, jax.random.key(0), photos)
    assert (np.asarray(scorer(attacked)) > np.asarray(scorer(photos))).all()
    assert np.abs(attacked - photos).max() <= 8 / 255 + 1e-6


def test_it_is_trained_from_drawn_weights_and_read_back(tiny_training, tmp_path):
    config = TrainConfig(
        name="toy", model=SPEC, steps=6, batch_size=4, accumulate=2, learning_rate=1.0, decay="cosine", prune=0.25
    )
    trained = train(config, tiny_training, tmp_path)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert losses[0] == pytest.approx(np.mean(tiny_training.scores), rel=0.3)  # |score - mos|, scores near 0
    assert losses[-1] < losses[0] - 1
    again = riqa.load(tmp_path / "model")
    assert again.spec == SPEC
    photo = jnp.asarray(tiny_training.load(0)[None] / 255, jnp.float32)
    assert float(again(photo)[0]) == float(trained(photo)[0])


def test_what_belongs_to_others_is_refused():
    with pytest.raises(ValueError, match="head_epochs: only LinearityIQA has it, not toy"):
        resolve(TrainConfig(model=SPEC, head_epochs=1), np.arange(8.0))
    with pytest.raises(ValueError, match="toy over none: no feature map 'stage5' for the block"):
        build(RECORD.presets["toy"].robust)


def test_it_is_a_choice_of_the_command_line(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    help_text = re.sub(r"[│\s]", "", capsys.readouterr().out)
    names = "linearity,koncept512,tres,hyperiqa,dbcnn,maniqa,musiq,musiq-ava,lipschitz,toy"
    assert f"--model.architecture{{{names}}}" in help_text
