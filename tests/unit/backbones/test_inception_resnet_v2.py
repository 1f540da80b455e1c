"""Inception-ResNet-v2: published parameter count, shapes, insertions, starts and names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.backbones.inception_resnet_v2 import TAP_CHANNELS, TAPS, InceptionResNetV2
from robust_iqa_jax.weights.backbone_names import CADENE_INCEPTION_RESNET_V2
from robust_iqa_jax.weights.conversion import from_torch, require_fit

SHALLOW = (1, 1, 1)


def shapes(model, size=(75, 75)):
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    return jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), image)


def map_shapes(model, x, **kwargs):
    key, image = jax.random.key(0), jax.ShapeDtypeStruct(x, jnp.float32)
    maps, _ = jax.eval_shape(lambda key, x: model.init_with_output(key, x, train=False, **kwargs), key, image)
    return {name: value.shape for name, value in maps.items()}


@pytest.fixture(scope="module")
def published():
    return shapes(InceptionResNetV2(include_classifier=True))


def test_parameter_count_is_the_published_one(published):
    # osmr/imgclsmob, inceptionresnetv2.py, for 1000 classes; Cadene's file has one class more
    count = 55_843_464 + 1537
    assert sum(leaf.size for leaf in jax.tree.leaves(published["params"])) == count


def test_maps_have_the_published_sizes_at_299():
    maps = map_shapes(InceptionResNetV2(SHALLOW), (1, 299, 299, 3))
    # arXiv 1602.07261, figures 3 and 15, and the sizes in TensorFlow's inception_resnet_v2.py
    sides = [149, 147, 147, 73, 73, 71, 35, 35, 35, 17, 17, 8, 8, 8, 8]
    expected = {tap: (1, side, side, TAP_CHANNELS[tap]) for tap, side in zip(TAPS, sides, strict=True)}
    assert maps == expected


@pytest.mark.parametrize("at", ["input", "repeat_1"])
def test_insertion_replaces_the_map_that_the_network_goes_on_from(at):
    model, size = InceptionResNetV2(SHALLOW), (1, 160, 200, 3)
    plain = map_shapes(model, size)
    changed = map_shapes(model, size, insert={at: lambda m: m[:, :, m.shape[2] // 4 :]})
    first = 0 if at == "input" else TAPS.index(at)
    for index, name in enumerate(TAPS):
        assert (plain[name] != changed[name]) == (index >= first)


def test_starting_at_a_map_runs_and_returns_what_follows_with_the_same_variables():
    model, rng = InceptionResNetV2(SHALLOW, include_classifier=True), np.random.default_rng(0)
    expected = shapes(model)
    variables = {
        "params": jax.tree.map(lambda leaf: rng.normal(0, 0.02, leaf.shape).astype(np.float32), expected["params"]),
        "batch_stats": jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), expected["batch_stats"]),
    }
    x = jnp.asarray(rng.uniform(size=(2, 3, 4, 1088)), jnp.float32)
    run = quick_jit(model.apply, static_argnames=("train", "start"))
    maps = run(variables, x, train=False, start="repeat_1")
    assert set(maps) == {*TAPS[TAPS.index("repeat_1") :], "logits"}
    np.testing.assert_array_equal(maps["repeat_1"], x)
    rest = run(variables, maps["block8"], train=False, start="block8")
    assert set(rest) == {"block8", "conv2d_7b", "logits"}
    np.testing.assert_allclose(rest["conv2d_7b"], maps["conv2d_7b"], rtol=1e-5, atol=1e-6)
    assert (np.asarray(maps["block8"]) < 0).any()  # the only map without a ReLU
    assert all((np.asarray(maps[name]) >= 0).all() for name in ("repeat_1", "mixed_7a", "repeat_2", "conv2d_7b"))


def test_bad_names_and_images_are_named():
    model, image = InceptionResNetV2(SHALLOW), jnp.zeros((1, 80, 80, 3))
    with pytest.raises(ValueError, match=r"cannot insert at \['block9'\]; choose among input, conv2d_1a, conv2d_2a,"):
        model.init(jax.random.key(0), image, train=False, insert={"block9": lambda m: m})
    with pytest.raises(ValueError, match="cannot start at 'input'; choose one of conv2d_1a"):
        model.init(jax.random.key(0), image, train=False, start="input")
    for wrong in (image[..., :1], image[:, :74], image[0]):
        with pytest.raises(ValueError, match=r"expected images \(n, h, w, 3\) of at least 75 x 75, got \("):
            model.init(jax.random.key(0), wrong, train=False)


def test_names_are_those_of_the_published_file(published):
    leaves = jax.tree_util.tree_flatten_with_path(published)[0]
    names = [CADENE_INCEPTION_RESNET_V2.name_of(tuple(key.key for key in path)) for path, _ in leaves]
    assert len(set(names)) == len(names) == 898 + 204  # Keras has 898 arrays: 204 norms without scales
    for name in (
        "conv2d_1a.conv.weight",
        "mixed_5b.branch0.bn.running_var",
        "mixed_5b.branch3.1.conv.weight",
        "repeat.9.branch2.2.bn.weight",
        "repeat.0.conv2d.bias",
        "mixed_6a.branch1.2.bn.bias",
        "repeat_1.19.branch1.1.conv.weight",
        "mixed_7a.branch2.2.bn.running_mean",
        "repeat_2.8.conv2d.weight",
        "block8.branch0.conv.weight",
        "conv2d_7b.bn.weight",
        "last_linear.bias",
    ):
        assert name in names
    assert [name for name in names if CADENE_INCEPTION_RESNET_V2.ignored(name)] == [
        "last_linear.bias",
        "last_linear.weight",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True])
def test_every_map_of_the_whole_network_equals_an_independent_pytorch_network(train):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_inception_resnet_v2 import TorchInceptionResNetV2
    from parity.torch_koncept512 import randomise

    torch.manual_seed(0)
    reference = TorchInceptionResNetV2((10, 20, 9)).double().train(train)
    randomise(reference)
    before = {key: value.numpy().copy() for key, value in reference.state_dict().items()}
    x = np.random.default_rng(0).normal(size=(2, 139, 171, 3))
    with torch.no_grad():
        expected = reference(torch.from_numpy(x).permute(0, 3, 1, 2))
    after = {key: value.numpy() for key, value in reference.state_dict().items()}
    model = InceptionResNetV2(include_classifier=True)
    variables, report = from_torch(before, shapes(model), CADENE_INCEPTION_RESNET_V2.name_of)
    require_fit(report, "InceptionResNetV2")
    with jax.enable_x64(True):
        run = quick_jit(lambda v, x: model.apply(v, x, train=train, mutable=["batch_stats"]))
        maps, updated = run(variables, jnp.asarray(x))
    for tap, value in maps.items():
        other = expected[tap].permute(0, 2, 3, 1) if tap in TAPS else expected[tap]
        np.testing.assert_allclose(value, other, rtol=0, atol=1e-9 * float(other.abs().max()))
    for path, leaf in jax.tree_util.tree_flatten_with_path(updated)[0]:
        key = CADENE_INCEPTION_RESNET_V2.name_of(tuple(part.key for part in path))
        np.testing.assert_allclose(leaf, after[key], rtol=1e-9, atol=1e-9)
