"""ResNets: published parameter counts, parity with an independent PyTorch network, insertions and starts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit, random_variables

from robust_iqa_jax.backbones.resnet import TAPS, VARIANTS, ResNet, Variant, insertion_points, tap_channels
from robust_iqa_jax.weights.backbone_names import TORCHVISION_RESNET
from robust_iqa_jax.weights.conversion import from_torch, require_fit
from robust_iqa_jax.weights.torch_pickle import CheckpointError

# torchvision's documentation, with the classifier
PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "wide_resnet50_2": 68_883_240,
    "resnext101_32x8d": 88_791_336,
}


def shapes(name):
    model = ResNet(name, include_classifier=True)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    return jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), image)


def convert(tensors, name, include_classifier=True):
    expected = shapes(name)
    if not include_classifier:
        del expected["params"]["fc"]
    ignored = (lambda name: False) if include_classifier else TORCHVISION_RESNET.ignored
    variables, report = from_torch(tensors, expected, TORCHVISION_RESNET.name_of, ignored)
    require_fit(report, name)
    return variables


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_the_published_ones(name):
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes(name)["params"])) == PARAMETERS[name]


SHALLOW = {"basic": Variant((2, 1, 1, 1), bottleneck=False), "bottleneck": Variant((1, 1, 1, 1), groups=2)}


@pytest.fixture(scope="module", autouse=True)
def shallow():
    with pytest.MonkeyPatch.context() as patch:
        for name, kind in SHALLOW.items():
            patch.setitem(VARIANTS, name, kind)
        yield


@pytest.fixture(scope="module")
def small(shallow):
    """Model, variables, images, its maps, and its maps with one of those of POINTS blackened."""
    model = ResNet("basic")
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 48, 40, 3)), jnp.float32)
    variables = random_variables(model, x.shape)

    @quick_jit
    def run(variables, x, factors):
        insert = {at: lambda m, f=f: f * m for at, f in factors.items()}
        return model.apply(variables, x, train=False, insert=insert)

    ones = dict.fromkeys(POINTS, 1.0)
    return model, variables, x, run(variables, x, ones), {at: run(variables, x, {**ones, at: 0.0}) for at in POINTS}


POINTS = ("stem", "layer1_1", "layer2", "layer4")


def close(result, expected):
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5 * float(jnp.abs(expected).max()))


def test_maps_have_the_named_channels_and_halve(small):
    maps = small[3]
    assert set(maps) == set(TAPS)
    sizes = [(12, 10), (12, 10), (6, 5), (3, 3), (2, 2)]
    for (name, channels), size in zip(tap_channels("basic").items(), sizes, strict=True):
        assert maps[name].shape == (1, *size, channels)


@pytest.mark.parametrize("start", ["layer3"])
def test_starting_at_a_map_gives_what_the_whole_network_gives(small, start):
    model, variables, _, maps, _ = small
    rest = quick_jit(lambda v, x: model.apply(v, x, train=False, start=start))(variables, maps[start])
    assert set(rest) == set(TAPS[TAPS.index(start) :])
    close(rest["layer4"], maps["layer4"])


@pytest.mark.parametrize("start", TAPS)
def test_what_follows_a_start_is_returned(small, start):
    model, variables, _, maps, _ = small
    rest = jax.eval_shape(lambda v, x: model.apply(v, x, train=False, start=start), variables, maps[start])
    assert set(rest) == set(TAPS[TAPS.index(start) :])


@pytest.mark.parametrize("at", POINTS)
def test_insertion_replaces_the_map_that_the_network_goes_on_from(small, at):
    *_, maps, changes = small
    changed, stage = changes[at], at.split("_")[0]
    for name in TAPS[: TAPS.index(stage)]:
        close(changed[name], maps[name])
    if "_" not in at:
        assert not np.asarray(changed[stage]).any()
    assert np.abs(np.asarray(changed["layer4"] - maps["layer4"])).max() > 1e-3


def test_bad_names_are_named(small):
    model, variables, x, *_ = small
    with pytest.raises(ValueError, match=r"cannot insert at \['layer9'\]; choose among input, stem, layer1_1, layer1"):
        model.apply(variables, x, train=False, insert={"layer9": lambda m: m})
    with pytest.raises(ValueError, match="cannot start at 'layer1_1'"):
        model.apply(variables, x, train=False, start="layer1_1")
    with pytest.raises(ValueError, match=r"expected images \(n, h, w, 3\), got \(1, 48, 40, 1\)"):
        model.apply(variables, x[..., :1], train=False)
    with pytest.raises(ValueError, match="unknown variant 'resnet19'; choose one of resnet18"):
        insertion_points("resnet19")


def test_converter_refuses_what_does_not_fit():
    leaves = jax.tree_util.tree_flatten_with_path(shapes("resnet18"))[0]
    names = {TORCHVISION_RESNET.name_of(tuple(key.key for key in path)): leaf for path, leaf in leaves}
    axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    tensors = {name: np.zeros([leaf.shape[i] for i in axes[leaf.ndim]], np.float32) for name, leaf in names.items()}
    assert convert(tensors, "resnet18")["params"]["fc"]["kernel"].shape == (512, 1000)
    assert "fc" not in convert(tensors, "resnet18", include_classifier=False)["params"]
    wrong = {**tensors, "layer9.weight": np.zeros(1), "bn1.bias": np.zeros(3)}
    del wrong["conv1.weight"]
    with pytest.raises(
        CheckpointError,
        match=r"does not fit resnet18: 1 missing: conv1.weight; 1 unused: layer9.weight; "
        r"1 of another shape: bn1.bias \(3,\) instead of \(64,\)",
    ):
        convert(wrong, "resnet18")


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "train"),
    [
        ("basic", True),
        ("bottleneck", False),
        *(slow(name, train) for name in ("resnet18", "resnet50", "resnext101_32x8d") for train in (False, True)),
    ],
)
def test_every_map_equals_an_independent_pytorch_network(name, train, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_resnet import LAYERS, TorchResNet

    for shallow, kind in SHALLOW.items():
        monkeypatch.setitem(LAYERS, shallow, (kind.blocks, kind.bottleneck, kind.width_per_group, kind.groups))
    torch.manual_seed(0)
    reference = TorchResNet(name).double().train(train)
    for module in reference.modules():  # running statistics that are not those of an untrained network
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.2, 0.6)
    before = {key: value.numpy().copy() for key, value in reference.state_dict().items()}
    x = np.random.default_rng(0).normal(size=(2, 33, 48, 3))
    with torch.no_grad():
        expected = reference(torch.from_numpy(x).permute(0, 3, 1, 2))
    with jax.enable_x64(True):
        variables = convert(before, name)
        model = ResNet(name, include_classifier=True)
        run = quick_jit(lambda v, x: model.apply(v, x, train=train, mutable=["batch_stats"]))
        maps, updated = run(variables, jnp.asarray(x))
    for tap, value in maps.items():
        other = expected[tap].permute(0, 2, 3, 1) if tap in TAPS else expected[tap]
        np.testing.assert_allclose(value, other, rtol=0, atol=1e-9 * float(other.abs().max()))
    if train:
        after = {key: value.numpy() for key, value in reference.state_dict().items()}
        leaves = jax.tree_util.tree_flatten_with_path(updated)[0]
        for path, leaf in leaves:
            key = TORCHVISION_RESNET.name_of(tuple(part.key for part in path))
            np.testing.assert_allclose(leaf, after[key], rtol=1e-9, atol=1e-9)
