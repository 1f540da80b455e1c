"""Checkpoints of LinearityIQA, with and without the RobustBlock, pruned or wrapped: parity with PyTorch, rescale."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.backbones.resnet import ResNet, insertion_points
from robust_iqa_jax.layers.robust_block import RobustBlock
from robust_iqa_jax.models.linearity_iqa import BLOCKS, LinearityIQA, rescale, to_release, torch_name
from robust_iqa_jax.models.record import Rescale
from robust_iqa_jax.weights.conversion import from_torch, require_fit
from robust_iqa_jax.weights.read import read_tensors
from robust_iqa_jax.weights.torch_pickle import CheckpointError

pytestmark = pytest.mark.usefixtures("resnet10", "hardly_optimised")

"""For programs that run once: compiling takes all their time."""


def convert(tensors, expected, block_at="layer3"):
    variables, report = from_torch(to_release(tensors), expected, partial(torch_name, block_at=block_at))
    require_fit(report, "LinearityIQA")
    return variables


def load(path, expected, block_at="layer3"):
    tensors, facts = read_tensors(path)
    return convert(tensors, expected, block_at), rescale(facts)


def linearity(variant="resnet18", mid=None, at="layer3", **options):
    block = None if mid is None else RobustBlock(mid, norm="spectrum")
    return LinearityIQA(ResNet(variant), ("layer3", "layer4"), block, at, **options)


def shapes(model):
    image = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32)
    return jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), image)


def outputs(model, variables, x, train):
    """Scores, both taps as the head reads them, and updated statistics."""

    def read(model, x):
        features = model.features(x, train=train)
        return model.head(features, train=train), features

    run = quick_jit(lambda variables, x: model.apply(variables, x, mutable=["batch_stats"], method=read))
    (scores, features), updated = run(variables, x)
    return scores, features, updated


@pytest.mark.parametrize(
    ("variant", "mid", "train", "levels", "kind"),
    [
        pytest.param("resnet10", None, False, 2, "max+min", marks=pytest.mark.slow),
        pytest.param("resnet10", 20, True, 1, "avg", marks=pytest.mark.slow),
        ("resnet10", 20, False, 1, "avg"),
        pytest.param("resnet18", 20, True, 1, "avg", marks=pytest.mark.slow),
        pytest.param("resnet18", None, True, 1, "avg", marks=pytest.mark.slow),
        pytest.param("resnet18", 20, False, 1, "avg", marks=pytest.mark.slow),
        pytest.param("resnet50", 200, False, 1, "avg", marks=pytest.mark.slow),
        pytest.param("resnet50", 200, True, 1, "avg", marks=pytest.mark.slow),
    ],
)
def test_scores_and_taps_equal_an_independent_pytorch_model(torch, variant, mid, train, levels, kind):
    from parity.torch_linearity_iqa import TorchLinearityIQA, pyramid
    from parity.torch_random import randomise

    reference = TorchLinearityIQA(variant, levels, kind, mid).double().train(train)
    tensors = randomise(reference)
    # windows of the pyramid tile even maps; with the block, layer3 becomes an odd one, as in the paper
    size = (96, 128) if mid is not None else (128, 64)
    x = np.random.default_rng(0).normal(size=(4 if train else 2, *size, 3))
    with torch.no_grad():
        expected, maps = reference(torch.from_numpy(x).permute(0, 3, 1, 2))
    model = linearity(variant, mid, pool_levels=levels, pool_kind=kind)
    if mid is not None:
        assert maps["layer3"].shape[2:] == (3, 3)
    with jax.enable_x64(True):
        variables = convert(tensors, shapes(model))
        scores, features, updated = outputs(model, variables, jnp.asarray(x), train)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-9 * float(expected.abs().max()))
    for value, name in zip(features, ("layer3", "layer4"), strict=True):
        pooled = pyramid(maps[name], levels, kind)
        np.testing.assert_allclose(value, pooled, rtol=0, atol=1e-9 * float(pooled.abs().max()))
    if train:
        after = {name: tensor.numpy() for name, tensor in reference.state_dict().items()}
        for path, leaf in jax.tree_util.tree_flatten_with_path(updated)[0]:
            name = torch_name(tuple(part.key for part in path))
            np.testing.assert_allclose(leaf, after[name], rtol=1e-9, atol=1e-9)


def saved(torch, path, reference, prefix="", **beside):
    state = {prefix + name: tensor for name, tensor in reference.state_dict().items()}
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict()
    amp = {"loss_scaler0": {"loss_scale": 65536.0, "unskipped": 7}}
    torch.save({"model": state, "optimizer": optimizer, "amp": amp, **beside}, path)
    return path


def test_files_load_pruned_or_wrapped_with_their_rescale_and_score_alike_in_float32(torch, tmp_path):
    from parity.torch_linearity_iqa import TorchLinearityIQA
    from parity.torch_random import randomise
    from torch.nn.utils import prune

    reference = TorchLinearityIQA("resnet10", mid=20).eval()
    randomise(reference)
    for conv in (reference.features[0], reference.features[6][0].conv1, reference.cayley_block6.conv_cayley):
        prune.ln_structured(conv, "weight", amount=0.3, n=2, dim=0)
    reference = reference.double()
    file = saved(torch, tmp_path / "pruned", reference.float(), k=[9.5, 1, 1], b=[41.25, 0, 0])
    model = linearity("resnet10", 20)
    variables, found = load(file, shapes(model))
    assert found == Rescale(9.5, 41.25)
    x = np.random.default_rng(0).normal(size=(1, 96, 128, 3)).astype(np.float32)
    score = quick_jit(lambda x: model.apply(variables, x, train=False)[0, -1])(x)
    with torch.no_grad():
        expected = reference.double()(torch.from_numpy(x).double().permute(0, 3, 1, 2))[0][0, -1]
    assert float(score) == pytest.approx(float(expected), rel=1e-4)

    kernel = variables["params"]["block"]["cayley"]["kernel"]
    assert (np.abs(kernel).sum((0, 1, 2)) == 0).sum() == round(0.3 * 256)
    for conv in (reference.features[0], reference.features[6][0].conv1, reference.cayley_block6.conv_cayley):
        prune.remove(conv, "weight")
    wrapped = {f"model.{name}": tensor for name, tensor in reference.float().state_dict().items()}
    wrapped |= {"normalize.mean": torch.zeros(1, 3, 1, 1), "normalize.std": torch.ones(1, 3, 1, 1)}
    low, high = np.float64(3.5), np.float32(88.5)
    torch.save({"model": wrapped, "k": [2.0, 1, 1], "b": [1.0, 0, 0], "min": low, "max": high}, tmp_path / "wrapped")
    again, found = load(tmp_path / "wrapped", shapes(model))
    assert found == Rescale(2.0, 1.0, 3.5, 88.5)
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    torch.save(reference.state_dict(), tmp_path / "bare")
    assert load(tmp_path / "bare", shapes(model))[1] is None


def names(model, **options):
    leaves = jax.tree_util.tree_flatten_with_path(shapes(model))[0]
    return {torch_name(tuple(part.key for part in path), **options) for path, _ in leaves}


def test_names_are_the_releases():
    found = names(linearity())
    assert {"features.0.weight", "features.1.running_var", "features.4.0.conv1.weight",
            "features.7.1.bn2.bias", "features.5.0.downsample.1.weight", "dr6.0.weight", "dr6.1.running_mean",
            "dr7.4.bias", "dr7.5.weight", "regr6.weight", "regr7.bias", "regression.weight"} <= found  # fmt: skip
    assert not any(name.startswith("cayley") for name in found)


def test_the_block_has_its_name_at_every_position():
    block = names(linearity("resnet10", 4), block_at="layer3") - names(linearity("resnet10"))
    leaves = ("conv_in.weight", "conv_in.bias", "conv_cayley.weight", "conv_cayley.bias", "conv_cayley.alpha")
    assert block == {f"cayley_block6.{leaf}" for leaf in leaves}
    assert set(BLOCKS) <= set(insertion_points("resnet101"))
    for at, name in BLOCKS.items():
        assert torch_name(("params", "block", "cayley", "alpha"), at) == f"{name}.conv_cayley.alpha"


def test_what_does_not_fit_is_named(torch, tmp_path):
    from parity.torch_linearity_iqa import TorchLinearityIQA

    reference = TorchLinearityIQA("resnet10", mid=20)
    file = saved(torch, tmp_path / "block", reference)
    with pytest.raises(CheckpointError, match=r"does not fit LinearityIQA: 5 unused: cayley_block6"):
        load(file, shapes(linearity("resnet10")))
    with pytest.raises(CheckpointError, match=r"3 of another shape: cayley_block6"):
        load(file, shapes(linearity("resnet10", mid=16)))
    with pytest.raises(ValueError, match="no block at 'layer4'; choose one of input, stem, layer1, layer2_2, layer2"):
        load(file, shapes(linearity("resnet10", mid=20)), block_at="layer4")
