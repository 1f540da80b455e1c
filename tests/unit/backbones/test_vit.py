"""Vision transformers: published parameter counts, parity with an independent PyTorch network, insertions, sizes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.backbones.vit import ViT, insertion_points, taps
from robust_iqa_jax.layers.robust_block import RobustBlock
from robust_iqa_jax.weights.backbone_names import TIMM_VIT
from robust_iqa_jax.weights.conversion import from_torch, require_fit

TEST = "vit_test_patch8_64"

# torchvision's documentation of vit_b_16; arXiv 2012.12877 has 5.7 M of DeiT-Ti, the same network; ViT-B/8 differs from
# ViT-B/16 in patches and positions: 86.6 M and 346 MB of float32 in timm's listing
PARAMETERS = {
    "vit_base_patch16_224": 86_567_656,
    "vit_base_patch8_224": 86_567_656 - 768 * (16**2 - 8**2) * 3 + 768 * (28**2 - 14**2),
    "vit_tiny_patch16_224": 5_717_416,
}


def shapes(name, include_classifier=True, depth=None):
    model = ViT(name, depth, include_classifier)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    return jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), image)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_the_published_ones(name):
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes(name)["params"])) == PARAMETERS[name]


@pytest.fixture(scope="module")
def small():
    model = ViT(TEST)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 64, 48, 3)), jnp.float32)
    expected = shapes(TEST, include_classifier=False)
    variables = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.2, leaf.shape), jnp.float32), expected)
    return model, variables, x, quick_jit(lambda v, x: model.apply(v, x, train=False))(variables, x)


def test_maps_are_grids_and_class_tokens_apart(small):
    maps = small[3]
    assert set(maps) == {*taps(TEST), *(f"{name}_class" for name in taps(TEST))}
    for name in taps(TEST):
        assert maps[name].shape == (2, 8, 6, 24)
        assert maps[f"{name}_class"].shape == (2, 24)


def test_starting_at_a_grid_with_its_class_token_gives_what_the_whole_network_gives(small):
    (model, variables, _, maps), start = small, "block1"
    run = quick_jit(lambda v, x, token: model.apply(v, x, train=False, start=start, class_token=token))
    rest = run(variables, maps[start], maps[f"{start}_class"])
    assert set(rest) == {n + end for n in taps(TEST)[taps(TEST).index(start) :] for end in ("", "_class")}
    np.testing.assert_allclose(rest["block3"], maps["block3"], rtol=1e-4, atol=1e-5)


def test_insertion_replaces_the_grid_that_the_network_goes_on_from(small):
    (model, variables, _, maps), at = small, "block2"

    @quick_jit
    def run(variables, x, token):
        insert = {at: lambda m: 0 * m}
        return model.apply(variables, x, train=False, start="block1", class_token=token, insert=insert)

    changed = run(variables, maps["block1"], maps["block1_class"])
    np.testing.assert_allclose(changed["block1"], maps["block1"], rtol=1e-4, atol=1e-5)
    assert not np.asarray(changed[at]).any()
    np.testing.assert_allclose(changed[f"{at}_class"], maps[f"{at}_class"], rtol=1e-4, atol=1e-5)
    assert np.abs(np.asarray(changed["block3"] - maps["block3"])).max() > 1e-3


def test_a_robust_block_may_shrink_the_token_grid(small):
    model, variables, x, _ = small
    block = RobustBlock(8, pool="square")
    grid = jnp.zeros((2, 8, 6, 24))

    def run(v, x):
        insert = {"block1": lambda grid: block.init_with_output(jax.random.key(1), grid)[0]}
        return model.apply(v, x, train=False, insert=insert)

    maps = jax.eval_shape(run, variables, x)
    size = jax.eval_shape(lambda g: block.init_with_output(jax.random.key(1), g)[0], grid).shape
    assert size[1:3] != (8, 6)
    assert maps["block0"].shape == (2, 8, 6, 24)
    assert maps["block1"].shape == maps["block3"].shape == size


def test_bad_names_and_sizes_are_named(small):
    model, variables, x, maps = small
    with pytest.raises(ValueError, match=r"cannot insert at \['block4'\]; choose among input, embed, block0, block1"):
        model.apply(variables, x, train=False, insert={"block4": lambda m: m})
    with pytest.raises(ValueError, match="cannot start at 'input'; choose one of embed, block0"):
        model.apply(variables, x, train=False, start="input")
    with pytest.raises(ValueError, match="starting at 'block1' needs class_token, the map 'block1_class'"):
        model.apply(variables, maps["block1"], train=False, start="block1")
    with pytest.raises(ValueError, match=r"expected images \(n, h, w, 3\), got \(2, 64, 48, 1\)"):
        model.apply(variables, x[..., :1], train=False)
    with pytest.raises(ValueError, match=r"sides \(63, 48\) are not multiples of 8; crop or pad"):
        model.apply(variables, x[:, 1:], train=False)
    with pytest.raises(ValueError, match="unknown variant 'vit_huge'; choose one of vit_base_patch8_224"):
        insertion_points("vit_huge")
    with pytest.raises(ValueError, match="vit_test_patch8_64 has 4 blocks, cannot run 5"):
        taps(TEST, 5)


def test_the_gradient_reaches_the_pixels(small):
    model, variables, x, _ = small
    grad = quick_jit(jax.grad(lambda x, v: jnp.square(model.apply(v, x, train=True)["block3"]).sum()))(x, variables)
    assert np.isfinite(grad).all()
    assert (np.abs(np.asarray(grad)).max(axis=(1, 2)) > 0).all()


SLOW_CASES = [
    pytest.param(name, (224, 224), "float64", marks=pytest.mark.slow)
    for name in ("vit_base_patch16_224", "vit_base_patch8_224")
]


@pytest.mark.parametrize(
    ("name", "size", "dtype"),
    [
        (TEST, (64, 64), "float32"),
        (TEST, (48, 80), "float64"),
        *SLOW_CASES,
    ],
)
def test_every_map_equals_an_independent_pytorch_network(name, size, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_vit import TorchViT, randomise

    torch.manual_seed(0)
    reference = TorchViT(name).double()
    randomise(reference)
    tensors = {key: value.numpy() for key, value in reference.state_dict().items()}
    x = np.random.default_rng(0).normal(size=(2, *size, 3))
    with torch.no_grad():
        expected = reference(torch.from_numpy(x).permute(0, 3, 1, 2))
    with jax.enable_x64(dtype == "float64"):
        variables, report = from_torch(tensors, shapes(name), TIMM_VIT.name_of)
        require_fit(report, name)
        variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), variables)
        model = ViT(name, include_classifier=True)
        maps = quick_jit(lambda v, x: model.apply(v, x, train=False))(variables, jnp.asarray(x, dtype))
    assert set(maps) == set(expected)
    for tap, value in maps.items():
        assert value.dtype == dtype
        tolerance = (1e-9 if dtype == "float64" else 1e-4) * float(expected[tap].abs().max())
        np.testing.assert_allclose(value, expected[tap], rtol=0, atol=tolerance)


def test_what_lies_behind_the_last_block_is_left_out():
    pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_vit import TorchViT

    tensors = {key: value.numpy() for key, value in TorchViT(TEST).state_dict().items()}
    expected = shapes(TEST, include_classifier=False, depth=3)
    _, report = from_torch(tensors, expected, TIMM_VIT.name_of, partial(TIMM_VIT.ignored, depth=3))
    require_fit(report, TEST)
    _, report = from_torch(tensors, expected, TIMM_VIT.name_of, TIMM_VIT.ignored)
    assert report.unused[0] == "blocks.3.norm1.weight"
    assert len(report.unused) == 12
