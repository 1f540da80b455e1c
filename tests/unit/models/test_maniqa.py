"""MANIQA: parameter count of the release, parity with an independent PyTorch network, blocks, errors, dropout."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.layers.robust_block import RobustBlock
from robust_iqa_jax.layers.swin import SwinBlock, from_windows, windows
from robust_iqa_jax.models.maniqa import (
    MANIQA,
    STAGES,
    authors_ignored,
    authors_name,
    ignored,
    insertion_points,
    torch_name,
)
from robust_iqa_jax.weights.conversion import from_torch, require_fit

SMALL = {
    "name_of_vit": "vit_test_patch8_64",
    "read": (1, 3),
    "depths": (2, 1),
    "mlp_features": 32,
    "channel_blocks": 1,
    "scale": 0.13,
}

# Sum over the tensors of IIGROUP/MANIQA's network, the strided convolutions that it never applies, the ViT's last two
# blocks, its norm and its classifier among them.
RELEASE = 135_747_530
UNUSED = 2 * 7_087_872 + 2 * 768 + 769_000 + (9 * 768**2 + 768) + (9 * 384**2 + 384)


def shapes(model, side):
    image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), image)


def test_parameter_count_is_that_of_the_release_without_what_it_does_not_use():
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes(MANIQA(), 224)["params"])) == RELEASE - UNUSED


def published(torch, **kwargs):
    """A random network with its tensors by the release's names, and its maps of two random crops."""
    from parity.torch_maniqa import TorchMANIQA
    from parity.torch_vit import randomise

    torch.manual_seed(0)
    reference = TorchMANIQA(**kwargs).double()
    randomise(reference)
    torch.nn.init.constant_(reference.fc_score[3].bias, 1.0)  # the last ReLU would hide what it makes zero
    return reference


@pytest.fixture(scope="module")
def small():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    reference = published(torch, name="vit_test_patch8_64", read=(1, 3), depths=(2, 1), hidden=32, blocks=1, scale=0.13)
    x = np.random.default_rng(0).normal(size=(2, 64, 64, 3))
    with torch.no_grad():
        maps = {name: m.numpy() for name, m in reference(torch.from_numpy(x).permute(0, 3, 1, 2)).items()}
    return {key: value.numpy() for key, value in reference.state_dict().items()}, x, maps


def converted(tensors, model, side, dtype):
    variables, report = from_torch(tensors, shapes(model, side), torch_name, ignored)
    require_fit(report, "MANIQA")
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), variables)


def test_every_map_and_the_score_in_training_equal_an_independent_pytorch_network(small):
    tensors, x, expected = small
    model = MANIQA(**SMALL, dropout=False)

    @quick_jit
    def run(variables, x):
        maps = model.apply(variables, x, train=True, method="features")
        return {**maps, "score": model.apply(variables, maps["swin2"], train=True, method="head")}

    with jax.enable_x64(True):
        maps = run(converted(tensors, model, 64, "float64"), jnp.asarray(x))
    assert set(maps) == set(expected) - {"logits"}
    for tap, value in maps.items():
        assert value.dtype == "float64"
        np.testing.assert_allclose(value, expected[tap], rtol=0, atol=1e-9 * np.abs(expected[tap]).max())


@pytest.mark.slow
def test_the_full_network_equals_an_independent_pytorch_network():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    reference = published(torch)
    tensors = {key: value.numpy() for key, value in reference.state_dict().items()}
    parameters = sum(parameter.numel() for parameter in reference.parameters())
    x = np.random.default_rng(0).normal(size=(1, 224, 224, 3))
    with torch.no_grad():
        expected = {name: m.numpy() for name, m in reference(torch.from_numpy(x).permute(0, 3, 1, 2)).items()}
    del reference
    model = MANIQA()

    @jax.jit
    def run(variables, x):
        maps = model.apply(variables, x, train=False, method="features")
        return {**maps, "score": model.apply(variables, maps["swin2"], train=False, method="head")}

    # float64: the random network multiplies rounding by hundreds, which float32 at 1e-4 does not survive
    with jax.enable_x64(True):
        maps = run(converted(tensors, model, 224, "float64"), jnp.asarray(x))
    assert parameters == RELEASE
    for tap, value in maps.items():
        np.testing.assert_allclose(value, expected[tap], rtol=0, atol=1e-9 * np.abs(expected[tap]).max())


def test_the_authors_wrapped_names_are_read_and_foreign_tensors_reported(small):
    tensors, _, _ = small
    wrapped = {f"model.{name}": tensor for name, tensor in tensors.items()}
    wrapped |= {f"normalize.{name}": np.full((1, 3, 1, 1), 0.5, np.float32) for name in ("mean", "std")}
    expected = shapes(MANIQA(**SMALL), 64)
    require_fit(from_torch(wrapped, expected, authors_name, authors_ignored)[1], "MANIQA")
    del wrapped["model.tablock1.0.c_q.weight"]
    wrapped["model.rtoken"] = np.zeros((1, 116, 3072), np.float32)
    report = from_torch(wrapped, expected, authors_name, authors_ignored)[1]
    assert report.missing == ("model.tablock1.0.c_q.weight",)
    assert report.unused == ("model.rtoken",)


class Gain(nn.Module):
    """A block with one parameter, that changes nothing where it is 1."""

    @nn.compact
    def __call__(self, x):
        return self.param("factor", nn.initializers.ones, ()) * x


@pytest.mark.slow
def test_in_float32_a_block_replaces_its_map_and_all_that_follows(small):
    tensors, x, expected = small
    at, plain = "concat", MANIQA(**SMALL)
    model = plain.clone(block=Gain(), block_at=at)
    params = converted(tensors, plain, 64, "float32")["params"]

    @quick_jit
    def run(params, x, factor):
        variables = {"params": {**params, "block": {"factor": factor}}}
        maps = model.apply(variables, x, train=False, method="features")
        return {**maps, "score": model.apply(variables, maps["swin2"], train=False, method="head")}

    same, changed = (run(params, jnp.asarray(x, jnp.float32), jnp.float32(factor)) for factor in (1, 2))
    assert same["score"].shape == (2, 1)
    names = (*insertion_points(plain.name_of_vit, plain.read)[1:], "score")
    for position, name in enumerate(names):
        largest = np.abs(expected[name]).max()
        assert same[name].dtype == "float32"
        np.testing.assert_allclose(same[name], expected[name], rtol=0, atol=1e-4 * largest)
        change = np.abs(np.asarray(changed[name] - same[name])).max() / largest
        assert change == 0 if position < names.index(at) else change > 1e-3


def test_every_insertion_point_gives_its_block_the_map_of_its_name(small):
    _, x, expected = small
    seen = {}

    class Witness(nn.Module):
        of: str

        def __call__(self, x):
            seen[self.of] = x.shape
            return x

    for at in ("input", "block0", *STAGES):
        model = MANIQA(**SMALL, block=Witness(at), block_at=at)
        shapes(model, 64)
        of = (1, *x.shape[1:]) if at == "input" else (1, *expected[at].shape[1:])
        assert seen[at] == of


def test_bad_names_sizes_and_blocks_are_named(small):
    _, x, _ = small
    x = jnp.asarray(x, jnp.float32)

    def init(x, **kwargs):
        model = MANIQA(**SMALL, **kwargs)
        return jax.eval_shape(lambda key: model.init(key, x, train=False), jax.random.key(0))

    with pytest.raises(ValueError, match=r"reads crops \(n, 64, 64, 3\), got \(2, 64, 56, 3\); cut crops"):
        init(x[:, :, 8:])
    with pytest.raises(ValueError, match="cannot put a block at 'block4'; choose one of input, embed, block0"):
        init(x, block=RobustBlock(4, pool="none", padding=1), block_at="block4")
    with pytest.raises(ValueError, match=r"the block at 'conv1' makes \(6, 6, 24\) of \(8, 8, 24\)"):
        init(x, block=RobustBlock(4), block_at="conv1")
    with pytest.raises(ValueError, match=r"a map \(10, 8\) does not divide into windows of 4"):
        jax.eval_shape(lambda key: SwinBlock(1, 4, 2, 8).init(key, jnp.zeros((1, 10, 8, 4)), False), jax.random.key(0))
    init(x, block=RobustBlock(4, pool="none", padding=1), block_at="conv1")
    assert insertion_points("vit_base_patch8_224", (6, 7, 8, 9))[-8:] == ("block9", *STAGES)


@pytest.mark.slow
def test_dropout_is_random_in_training_only_and_the_gradient_reaches_the_pixels(small):
    tensors, x, expected = small
    model = MANIQA(**SMALL)
    variables, x = converted(tensors, model, 64, "float32"), jnp.asarray(x, jnp.float32)

    @quick_jit
    def score_and_gradient(variables, x, key):
        def score(x):
            scores = model.apply(variables, x, train=True, rngs={"dropout": key})
            return scores.sum(), scores

        return jax.grad(score, has_aux=True)(x)

    # keys of the hardware generator: threefry takes XLA longer to compile than the network
    grad, first = score_and_gradient(variables, x, jax.random.key(0, impl="rbg"))
    again = score_and_gradient(variables, x, jax.random.key(0, impl="rbg"))[1]
    other = score_and_gradient(variables, x, jax.random.key(1, impl="rbg"))[1]
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.asarray(first - other)).min() > 1e-6
    assert np.abs(np.asarray(first) - expected["score"]).min() > 1e-6
    assert np.isfinite(grad).all()
    assert (np.abs(np.asarray(grad)).max(axis=(1, 2)) > 0).all()


def test_windows_are_cut_row_by_row_and_put_back():
    x = np.arange(2 * 8 * 12, dtype=np.float32).reshape(2, 8, 12, 1)
    cut = windows(jnp.asarray(x), 4)
    assert cut.shape == (2, 6, 16, 1)
    np.testing.assert_array_equal(cut[0, 1, :5, 0], [4, 5, 6, 7, 16])
    np.testing.assert_array_equal(from_windows(cut, (8, 12)), x)
