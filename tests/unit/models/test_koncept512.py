"""KonCept512: parity with an independent PyTorch model, its RobustBlock, its names in three kinds of checkpoints."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.backbones.inception_resnet_v2 import InceptionResNetV2
from robust_iqa_jax.layers.robust_block import RobustBlock
from robust_iqa_jax.models.koncept512 import (
    BLOCK_AT,
    BLOCK_MID_CHANNELS,
    INPUT_SIZE,
    KonCept512,
    KonCeptHead,
    block_position,
    canonical,
    torch_name,
)
from robust_iqa_jax.weights.conversion import from_torch, require_fit
from robust_iqa_jax.weights.torch_pickle import CheckpointError

SHALLOW, OFF = (1, 1, 1), (0.0, 0.0, 0.0)
SIZE, BLOCK_SIZE = (75, 107), (180, 236)  # the last map has 1 x 2 and, for a RobustBlock, 4 x 6 pixels


def shapes(model, size=SIZE):
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    return jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), image)


def convert(tensors, model, size=SIZE):
    variables, report = from_torch(canonical(tensors), shapes(model, size), torch_name)
    require_fit(report, "KonCept512")
    return variables


def arrays(reference):
    return {key: value.numpy().copy() for key, value in reference.state_dict().items()}


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.fixture(scope="module")
def whole():
    return shapes(KonCept512())


def test_parameter_counts_follow_from_the_published_ones(whole):
    params = whole["params"]
    assert count(params["backbone"]) == 55_843_464 - 1000 * 1537  # osmr/imgclsmob, less its classifier
    dense = 1536 * 2048 + 2048 + 2048 * 1024 + 1024 + 1024 * 256 + 256 + 256 + 1
    assert count(params["head"]) == dense + 2 * (2048 + 1024 + 256)
    block = shapes(KonCept512(SHALLOW, RobustBlock(BLOCK_MID_CHANNELS), BLOCK_AT), BLOCK_SIZE)["params"]["block"]
    assert count(block) == 2 * 9 * 2080 * 1040 + 1040 + 2080 + 1


def is_backbone(module, _):
    return isinstance(module, InceptionResNetV2)


def assert_parity(reference, model, x, size, train, start=None):
    """Compare maps, score and statistics after the pass, in float64; x is the map `start`."""
    torch = pytest.importorskip("torch")
    before = arrays(reference)
    with torch.no_grad():
        expected, scores = reference(torch.from_numpy(x).permute(0, 3, 1, 2), start)
    with jax.enable_x64(True):
        variables = convert(before, model, size)
        options = {"mutable": ["batch_stats", "intermediates"], "capture_intermediates": is_backbone}
        run = quick_jit(lambda v, x: model.apply(v, x, train=train, start=start, **options))
        found, updated = run(variables, jnp.asarray(x))
    maps = updated["intermediates"]["backbone"]["__call__"][0]
    assert set(expected) <= set(maps)
    for tap, other in expected.items():
        other = other.permute(0, 2, 3, 1)
        np.testing.assert_allclose(maps[tap], other, rtol=0, atol=1e-9 * float(other.abs().max()), err_msg=tap)
    np.testing.assert_allclose(found, scores, rtol=1e-9)
    after = canonical(arrays(reference))
    for path, leaf in jax.tree_util.tree_flatten_with_path(updated["batch_stats"])[0]:
        key = torch_name(("batch_stats", *(part.key for part in path)))
        np.testing.assert_allclose(leaf, after[key], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("train", "blocks", "size"),
    [
        (True, SHALLOW, SIZE),
        pytest.param(False, (10, 20, 9), INPUT_SIZE, marks=pytest.mark.slow),
        pytest.param(True, (10, 20, 9), (139, 171), marks=pytest.mark.slow),
    ],
)
def test_maps_score_and_statistics_equal_an_independent_pytorch_model(train, blocks, size):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_koncept512 import random_koncept512

    x = np.random.default_rng(0).uniform(-1, 1, size=(2 if train else 1, *size, 3))
    assert_parity(random_koncept512(blocks).train(train), KonCept512(blocks, dropout=OFF), x, size, train)


@pytest.mark.parametrize(
    ("size", "middle"),
    [
        pytest.param(size, middle, marks=pytest.mark.slow)
        for size, middle in (((10, 14), 8), ((7, 9), 200), ((10, 14), 200))
    ],
)
def test_robust_block_before_the_last_convolution_equals_an_independent_one(size, middle):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_koncept512 import random_koncept512

    model = KonCept512((0, 0, 1), RobustBlock(middle, norm="spectrum"), BLOCK_AT, dropout=OFF)
    x = np.random.default_rng(0).uniform(0, 1, size=(2, *size, 2080))
    assert_parity(random_koncept512((0, 0, 1), middle).eval(), model, x, BLOCK_SIZE, False, "mixed_7a")


@pytest.mark.parametrize("with_gradient", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_score_and_gradient_to_the_image_in_float32(with_gradient):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_koncept512 import random_koncept512

    blocks = (0, 0, 0)
    reference = random_koncept512(blocks).eval()
    # drawn so that no ReLU sits at its kink: there rounding decides whether a gradient is taken (seed 1 has one)
    x = np.random.default_rng(2).uniform(-1, 1, size=(1, *SIZE, 3))
    images = torch.from_numpy(x).permute(0, 3, 1, 2).requires_grad_()
    score = reference(images)[1].sum()
    score.backward()
    model = KonCept512(blocks)
    tensors = {name: tensor.astype(np.float32) for name, tensor in arrays(reference).items()}
    score_of = lambda x, v: model.apply(v, x, train=False).sum()  # noqa: E731
    run = quick_jit(jax.value_and_grad(score_of) if with_gradient else lambda *a: (score_of(*a), None))
    found, gradient = run(jnp.asarray(x, jnp.float32), convert(tensors, model))
    np.testing.assert_allclose(found, score.item(), rtol=1e-4)
    if with_gradient:
        expected = images.grad.permute(0, 2, 3, 1).numpy()
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


class Last(InceptionResNetV2):
    """Stands for the backbone: its last map is the image."""

    def __call__(self, x, **_):
        return {"conv2d_7b": x}


class Pooled(KonCept512):
    def setup(self):
        self.backbone, self.head = Last(), lambda x, train: x


@pytest.mark.parametrize(("window", "seen"), [(None, (10, 14)), (8, (8, 8)), (5, (10, 10)), (3, (9, 12))])
def test_pool_window_averages_the_leading_windows_only(window, seen):
    x = np.random.default_rng(0).normal(size=(2, 10, 14, 3))
    pooled = Pooled(pool_window=window).apply({}, jnp.asarray(x, jnp.float32), train=False)
    np.testing.assert_allclose(pooled, x[:, : seen[0], : seen[1]].mean((1, 2)), rtol=1e-5, atol=1e-7)


def test_a_map_too_small_for_the_window_and_a_bad_block_are_named():
    with pytest.raises(ValueError, match=r"the last map has \(1, 2\) pixels, too few for pool_window=8"):
        shapes(KonCept512(SHALLOW, pool_window=8))
    with pytest.raises(ValueError, match=r"cannot insert at \['block9'\]; choose among input, conv2d_1a"):
        shapes(KonCept512(SHALLOW, RobustBlock(8), "block9"))


def test_dropout_draws_in_training_only():
    head, rng = KonCeptHead(), np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(4, 6)), jnp.float32)
    expected = jax.eval_shape(lambda key, x: head.init(key, x, train=False), jax.random.key(0), x)
    variables = jax.tree.map(lambda leaf: rng.uniform(0.1, 1, leaf.shape).astype(np.float32), expected)

    @partial(quick_jit, static_argnums=0)
    def run(train, seed, variables):
        rngs = {"dropout": jax.random.key(seed, impl="rbg")}  # threefry takes longer to compile
        return head.apply(variables, x, train=train, rngs=rngs, mutable=["batch_stats"])[0]

    np.testing.assert_array_equal(run(False, 0, variables), run(False, 1, variables))
    assert np.abs(np.asarray(run(True, 0, variables) - run(True, 1, variables))).max() > 1e-3


def named(expected):
    """A tensor of zeros for every name that a model of these shapes asks for."""
    axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,), 0: ()}
    leaves = jax.tree_util.tree_flatten_with_path(expected)[0]
    return {
        torch_name(tuple(key.key for key in path)): np.zeros([leaf.shape[i] for i in axes[leaf.ndim]], np.float32)
        for path, leaf in leaves
    }


def test_names_are_those_of_the_public_release(whole):
    tensors = named(whole)
    for name, shape in {
        "base.0.conv.weight": (32, 3, 3, 3),
        "base.7.branch3.1.conv.weight": (64, 192, 1, 1),
        "base.8.9.conv2d.bias": (320,),
        "base.10.19.branch1.2.conv.weight": (192, 160, 7, 1),
        "base.12.8.branch1.1.conv.weight": (224, 192, 1, 3),
        "base.13.conv2d.weight": (2080, 448, 1, 1),
        "base.14.bn.running_var": (1536,),
        "fc.0.weight": (2048, 1536),
        "fc.2.running_mean": (2048,),
        "fc.6.weight": (1024,),
        "fc.8.bias": (256,),
        "fc.12.weight": (1, 256),
    }.items():
        assert tensors[name].shape == shape
    assert canonical(tensors).keys() == tensors.keys()
    assert block_position(tensors) is None


def as_published(tensors, index):
    """Canonical tensors as KonCept_dali writes them: the block at a step of base and as an attribute, masks apart."""
    moved = {}
    for name, tensor in tensors.items():
        part, *rest = name.split(".")
        if part == "base" and int(rest[0]) >= index:
            name = ".".join(["base", str(int(rest[0]) + 1), *rest[1:]])
        if part == "cayley2":
            moved[".".join(["base", str(index), *rest])] = tensor
        if name.endswith("conv.weight"):
            moved[f"{name}_orig"] = np.full_like(tensor, 3)
            moved[f"{name}_mask"] = np.zeros_like(tensor)
        else:
            moved[name] = tensor
    wrapped = {f"module.model.{name}": tensor for name, tensor in moved.items()}
    mean = np.full((1, 3, 1, 1), 0.5, np.float32)
    return {"module.normalize.mean": mean, "module.normalize.std": mean, **wrapped}


@pytest.mark.parametrize(("index", "at"), [(14, "block8"), (13, "repeat_2")])
def test_checkpoints_of_the_papers_code_are_understood(index, at):
    model = KonCept512(SHALLOW, RobustBlock(8), at)
    tensors = named(shapes(model, BLOCK_SIZE))
    published = as_published(tensors, index)
    assert f"module.model.base.{index}.conv_cayley.alpha" in published
    assert block_position(published) == at
    found = canonical(published)
    assert found.keys() == tensors.keys()
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)
    convert(published, model, BLOCK_SIZE)


def test_unlike_normalisation_and_two_blocks_are_refused():
    tensors = as_published(named(shapes(KonCept512(SHALLOW, RobustBlock(8), "block8"), BLOCK_SIZE)), 14)
    with pytest.raises(CheckpointError, match=r"normalize.mean is \[0.0, 0.0, 0.0\], KonCept512 has \[0.5, 0.5, 0.5\]"):
        canonical({**tensors, "module.normalize.mean": np.zeros((1, 3, 1, 1))})
    with pytest.raises(CheckpointError, match=r"expected one RobustBlock behind a step of base, found it at \[3, 14\]"):
        block_position({**tensors, "base.3.conv_in.weight": np.zeros(1)})
