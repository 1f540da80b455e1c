"""HyperIQA: parameter count, parity with an independent PyTorch network, IQA-PyTorch's names, blocks."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit, shapes

from robust_iqa_jax.backbones.resnet import VARIANTS, Variant
from robust_iqa_jax.layers.robust_block import RobustBlock
from robust_iqa_jax.models.hyper_iqa import HyperIQA, target_network, to_release, torch_name
from robust_iqa_jax.weights.conversion import from_torch, require_fit

IMAGE = (1, 224, 224, 3)
SHALLOW = Variant((1, 1, 1, 1), bottleneck=False)


def close(found, expected, tolerance):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def test_parameter_count_is_the_published_one():
    total = sum(leaf.size for leaf in jax.tree.leaves(shapes(HyperIQA(), IMAGE)["params"]))
    # models.py of SSL92/hyperIQA: ResNet-50 without fc, local distortion, content, hyper-network; 27.38 M in reviews
    assert total == 23_508_032 + 475_360 + 2_680_432 + 711_545 == 27_375_369


@pytest.mark.parametrize(
    ("variant", "train", "dtype", "tolerance"),
    [
        # XLA's convolutions of float64 take a CPU ten times as long
        ("shallow", True, np.float32, 1e-4),
        pytest.param("shallow", False, np.float64, 1e-9, marks=pytest.mark.slow),
        pytest.param("shallow", True, np.float64, 1e-9, marks=pytest.mark.slow),
        pytest.param("resnet50", False, np.float64, 1e-9, marks=pytest.mark.slow),
        pytest.param("resnet50", True, np.float64, 1e-9, marks=pytest.mark.slow),
    ],
)
def test_every_part_equals_an_independent_pytorch_network(monkeypatch, variant, train, dtype, tolerance):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_hyper_iqa import TorchHyperIQA
    from parity.torch_resnet import LAYERS
    from parity.torch_state import nchw, randomised, state

    if variant not in VARIANTS:
        monkeypatch.setitem(LAYERS, variant, ((1, 1, 1, 1), 0, 64, 1))
        monkeypatch.setitem(VARIANTS, variant, SHALLOW)
    reference = randomised(TorchHyperIQA(variant)).train(train)
    before = state(reference)
    x = np.random.default_rng(0).normal(size=(2, 224, 224, 3))
    with torch.no_grad():
        vector, weights, biases, scores = reference(nchw(x))
    model = HyperIQA(backbone_variant=variant)
    with jax.enable_x64(dtype == np.float64):
        variables, report = from_torch(to_release(before), shapes(model, IMAGE), torch_name)
        require_fit(report, "HyperIQA")
        variables = jax.tree.map(lambda leaf: leaf.astype(dtype), variables)

        def total(x, variables):
            target, updated = model.apply(variables, x, train=train, method="target", mutable=["batch_stats"])
            score = target_network(*target)
            return score.sum(), (target, score, updated)

        # the gradient where it is wanted: its program takes twice as long to compile
        run = jax.value_and_grad(total, has_aux=True) if dtype == np.float32 else lambda *a: (total(*a), None)
        (_, ((found, parameters), score, updated)), gradient = quick_jit(run)(jnp.asarray(x, dtype), variables)
    close(found, vector, tolerance)
    for (weight, bias), expected_weight, expected_bias in zip(parameters, weights, biases, strict=True):
        close(weight, expected_weight, tolerance)
        close(bias, expected_bias, tolerance)
    assert score.shape == (2, 1)
    close(score, scores, tolerance)
    if gradient is not None:
        assert np.isfinite(gradient).all()
        assert (np.abs(gradient).max((1, 2, 3)) > 1e-8).all()
    if train:
        after = state(reference)
        for path, leaf in jax.tree_util.tree_flatten_with_path(updated)[0]:
            name = torch_name(tuple(part.key for part in path))
            np.testing.assert_allclose(leaf, after[name], rtol=tolerance, atol=tolerance)


def test_names_of_iqa_pytorch_stand_for_those_of_the_release():
    published = {torch_name(tuple(part.key for part in path)) for path, _ in paths(shapes(HyperIQA(), IMAGE))}
    assert {"res.layer1.0.downsample.1.running_var", "res.lda1_pool.0.weight", "conv1.4.bias"} <= published
    assert {"fc1w_conv.weight", "fc5w_fc.weight", "fc5b_fc.bias", "res.lda4_fc.weight"} <= published

    def iqa_pytorch(name):
        if match := re.match(r"res\.lda(\d)_pool\.0(.*)", name):
            return f"lda_modules.{int(match[1]) - 1}.0{match[2]}"
        if match := re.match(r"res\.lda(\d)_fc(.*)", name):
            return f"lda_modules.{int(match[1]) - 1}.{2 if match[1] == '4' else 3}{match[2]}"
        if match := re.match(r"fc(\d)([wb])_(conv|fc)(.*)", name):
            return f"fc_{match[2]}_modules.{int(match[1]) - 1}{'.2' if match[3] == 'fc' else ''}{match[4]}"
        return re.sub(r"^res\.", "base_model.", name)

    theirs = {iqa_pytorch(name): np.zeros(1) for name in published}
    assert "fc_w_modules.4.2.weight" in theirs
    assert "fc_b_modules.0.2.bias" in theirs
    assert "lda_modules.3.2.weight" in theirs
    assert set(to_release(theirs)) == published
    assert set(to_release({f"module.{name}": np.zeros(1) for name in published})) == published
    assert set(to_release({f"model_hyper.{name}": np.zeros(1) for name in published})) == published


def paths(tree):
    return jax.tree_util.tree_flatten_with_path(tree)[0]


def test_blocks_that_do_not_fit_are_refused():
    model = HyperIQA(RobustBlock(8, "none", 1), "layer3", "resnet18")
    names = {torch_name(tuple(part.key for part in path)) for path, _ in paths(shapes(model, IMAGE))}
    assert {"cayley.conv_in.bias", "cayley.conv_cayley.weight", "cayley.conv_cayley.alpha"} <= names
    with pytest.raises(ValueError, match=r"HyperIQA: expected crops \(n, 224, 224, 3\), got \(1, 223, 224, 3\)"):
        shapes(model, (1, 223, 224, 3))
    with pytest.raises(ValueError, match=r"ResNet: cannot insert at \['layer9'\]; choose among input, stem"):
        shapes(model.clone(block_at="layer9"), IMAGE)
    with pytest.raises(
        ValueError, match=r"HyperIQA: layer3 is \(12, 12\) instead of \(14, 14\); its block has to keep"
    ):
        shapes(model.clone(block=RobustBlock(8)), IMAGE)
