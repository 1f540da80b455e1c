"""VGG-16: published parameter count, parity with an independent PyTorch network, insertions and starts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit, random_variables, shapes

from robust_iqa_jax.backbones.vgg import INSERTION_POINTS, TAPS, VGG, tap_channels
from robust_iqa_jax.weights.backbone_names import TORCHVISION_VGG
from robust_iqa_jax.weights.conversion import from_torch, require_fit

SMALL = {"widths": (4, 6, 8, 12, 16), "hidden": 24}
IMAGE = (1, 64, 64, 3)


def test_parameter_count_is_the_published_one():
    model = VGG(include_classifier=True)
    total = sum(leaf.size for leaf in jax.tree.leaves(shapes(model, IMAGE)))
    assert total == 138_357_544  # torchvision's documentation of vgg16
    assert [(tap, tap_channels()[tap]) for tap in TAPS[-5:]] == [
        ("pool4", 512),
        ("conv5_1", 512),
        ("conv5_2", 512),
        ("conv5_3", 512),
        ("pool5", 512),
    ]


def compare(model, stages):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_state import nchw, randomised, state
    from parity.torch_vgg import TorchVGG

    reference = randomised(TorchVGG(stages, model.hidden)).eval()
    x = np.random.default_rng(0).normal(size=(2, 50, 70, 3))
    with torch.no_grad():
        maps, logits = reference(nchw(x))
    with jax.enable_x64(True):
        variables, report = from_torch(state(reference), shapes(model, IMAGE), TORCHVISION_VGG.name_of)
        require_fit(report, "VGG")
        found = quick_jit(lambda v, x: model.apply(v, x, train=False))(variables, jnp.asarray(x))
    for tap, expected in zip(TAPS, maps, strict=True):
        bound = 1e-9 * float(expected.abs().max())
        np.testing.assert_allclose(found[tap], expected.permute(0, 2, 3, 1), rtol=0, atol=bound, err_msg=tap)
    np.testing.assert_allclose(found["logits"], logits, rtol=0, atol=1e-9 * float(logits.abs().max()))


def test_every_map_equals_an_independent_pytorch_network():
    stages = tuple(zip(SMALL["widths"], (2, 2, 3, 3, 3), strict=True))
    compare(VGG(**SMALL, include_classifier=True), stages)


@pytest.mark.slow
def test_every_map_equals_an_independent_pytorch_network_at_full_width():
    compare(VGG(include_classifier=True), ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)))


def test_names_are_torchvisions():
    assert TORCHVISION_VGG.name_of(("params", "conv5_3", "kernel")) == "features.28.weight"
    assert TORCHVISION_VGG.name_of(("params", "conv1_1", "bias")) == "features.0.bias"
    assert TORCHVISION_VGG.name_of(("params", "fc8", "bias")) == "classifier.6.bias"
    assert TORCHVISION_VGG.ignored("classifier.6.bias")
    assert not TORCHVISION_VGG.ignored("features.0.bias")


@pytest.fixture(scope="module")
def small():
    model = VGG(**SMALL)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 32, 40, 3)), jnp.float32)
    variables = random_variables(model, x.shape)
    return model, variables, x, quick_jit(lambda v, x: model.apply(v, x, train=False))(variables, x)


def test_insertions_and_starts_go_on_from_the_named_map(small):
    model, variables, _, maps = small

    def run(variables, start):
        return model.apply(variables, start, train=False, start="conv4_2", insert={"conv5_2": lambda m: 2 * m})

    changed = quick_jit(run)(variables, maps["conv4_2"])
    assert set(changed) == set(TAPS[TAPS.index("conv4_2") :])
    for tap, factor in (("conv4_2", 1), ("pool4", 1), ("conv5_1", 1), ("conv5_2", 2)):
        np.testing.assert_allclose(changed[tap], factor * maps[tap], rtol=1e-4, atol=1e-5)
    assert float(jnp.abs(changed["pool5"] - maps["pool5"]).max()) > 1e-3


def test_bad_names_are_named(small):
    model, variables, x, _ = small
    with pytest.raises(ValueError, match=r"VGG: cannot insert at \['conv6'\]; choose among input, conv1_1, conv1_2"):
        model.apply(variables, x, train=False, insert={"conv6": lambda m: m})
    with pytest.raises(ValueError, match="VGG: cannot start at 'input'; choose one of conv1_1"):
        model.apply(variables, x, train=False, start="input")
    with pytest.raises(ValueError, match=r"at least 32 x 32, got \(1, 31, 40, 3\)"):
        model.apply(variables, x[:, 1:], train=False)
    assert INSERTION_POINTS[0] == "input"
