"""TReS: published parameter count, parity with an independent PyTorch model, its dropouts, its checkpoints."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.functional.pooling import l2_pool
from robust_iqa_jax.layers.robust_block import RobustBlock
from robust_iqa_jax.layers.transformer_encoder import sine_position_encoding
from robust_iqa_jax.models.tres import INPUT_SIZE, TReS, is_ignored, normalised, torch_name
from robust_iqa_jax.weights.conversion import from_torch, require_fit
from robust_iqa_jax.weights.read import read_tensors
from robust_iqa_jax.weights.state_dict import with_masks_applied, without_prefixes
from robust_iqa_jax.weights.torch_pickle import CheckpointError

pytestmark = pytest.mark.usefixtures("resnet10")

# layers of the public code added up: ResNet-50 with its classifier, which no score depends on, and the rest
PARAMETERS, CLASSIFIER = 152_452_265, 2_049_000


def convert(tensors, expected):
    plain = with_masks_applied(without_prefixes(tensors, ("module.",)))
    variables, report = from_torch(plain, expected, torch_name, is_ignored)
    require_fit(report, "TReS")
    return variables


def load(path, expected):
    return convert(read_tensors(path)[0], expected)


def robust(variant="resnet10", mid=24, **options):
    return TReS(variant, block=RobustBlock(mid, padding=1, norm="spectrum"), block_at="layer3", **options)


def shapes(model, size=(64, 64)):
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    return jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), image)


def close(value, reference, tolerance):
    reference = reference.detach()
    expected = (reference.permute(0, 2, 3, 1) if reference.ndim == 4 else reference).numpy()
    np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_parameter_count_is_the_published_one():
    params = shapes(TReS(), INPUT_SIZE)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == PARAMETERS - CLASSIFIER


def test_evaluation_and_its_gradient_equal_an_independent_pytorch_model(torch):
    from parity.torch_random import randomise
    from parity.torch_tres import TorchTReS

    reference = TorchTReS("resnet10", layers=1).double().eval()
    tensors = randomise(reference)
    x = np.random.default_rng(0).normal(size=(1, 64, 32, 3))
    image = torch.from_numpy(x).permute(0, 3, 1, 2).requires_grad_()
    expected = reference(image)
    (slope,) = torch.autograd.grad(expected["score"].sum(), image)
    model = TReS("resnet10", layers=1)

    def run(x, variables):
        score = model.apply(variables, x, train=False)
        return score.sum(), score

    with jax.enable_x64(True):
        variables = convert(tensors, shapes(model, (64, 32)))
        run = quick_jit(jax.grad(run, has_aux=True))
        gradient, score = run(jnp.asarray(x), variables)
    close(score, expected["score"], 1e-9)
    assert np.abs(gradient).max() > 0
    close(gradient, slope, 1e-9)


@pytest.mark.slow
def test_both_views_in_training_equal_an_independent_pytorch_model(torch):
    from parity.torch_random import randomise
    from parity.torch_tres import TorchTReS

    reference = TorchTReS("resnet10", 24).double().train()
    tensors = randomise(reference)
    x = np.random.default_rng(0).normal(size=(2, 64, 64, 3))
    image = torch.from_numpy(x).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = [reference(image), reference(image.flip(3))]
    model = robust(dropout=False)
    with jax.enable_x64(True):
        variables = convert(tensors, shapes(model))

        def run(v, x):
            return model.apply(v, x, train=True, mutable=["batch_stats"], method="both_views")

        views, updated = quick_jit(run)(variables, jnp.asarray(x))
    for view, other in zip(views, expected, strict=True):
        for name, value in view._asdict().items():
            close(value, other[name], 1e-9)
    after = {name: tensor.numpy() for name, tensor in reference.state_dict().items()}
    for path, leaf in jax.tree_util.tree_flatten_with_path(updated)[0]:
        name = torch_name(tuple(part.key for part in path))
        np.testing.assert_allclose(leaf, after[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("variant", "mid", "size"),
    [
        pytest.param("resnet10", 24, (64, 64), marks=pytest.mark.slow),
        pytest.param("resnet50", None, INPUT_SIZE, marks=pytest.mark.slow),
        pytest.param("resnet50", 128, INPUT_SIZE, marks=pytest.mark.slow),
    ],
)
def test_float32_equals_pytorch(torch, variant, mid, size):
    from parity.torch_random import randomise
    from parity.torch_tres import TorchTReS

    reference = TorchTReS(variant, mid).float().eval()
    tensors = randomise(reference)
    x = np.random.default_rng(1).normal(size=(1, *size, 3)).astype(np.float32)
    with torch.no_grad():
        expected = reference(torch.from_numpy(x).permute(0, 3, 1, 2))
    model = TReS(variant) if mid is None else robust(variant, mid)
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), convert(tensors, shapes(model, size)))
    del reference, tensors  # 600 MB each at full size

    def run(variables, x):
        pooled, _ = model.apply(variables, x, train=False, method="pooled_maps")
        return model.apply(variables, x, train=False), pooled

    score, pooled = quick_jit(run)(variables, jnp.asarray(x))
    close(score, expected["score"], 1e-4)
    close(pooled, expected["pooled"], 1e-4)


def test_the_flipped_view_drops_out_in_the_encoder_only():
    seen = []

    def record(call, args, options, context):
        if isinstance(context.module, nn.Dropout):
            seen.append((context.module.rate, options.get("deterministic", context.module.deterministic)))
        return call(*args, **options)

    def trace(model, method, train):
        seen.clear()
        variables = shapes(model)
        with nn.intercept_methods(record):
            jax.eval_shape(
                lambda v, x, key: model.apply(
                    v, x, train=train, rngs={"dropout": key}, method=method, mutable=["batch_stats"]
                ),
                variables,
                jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32),
                jax.random.key(0),
            )
        return sorted((rate, not off) for rate, off in seen)

    model = TReS("resnet10", layers=1)
    assert trace(model, "both_views", True) == 4 * [(0.1, False)] + 4 * [(0.1, True)] + 8 * [(0.5, True)]
    assert trace(model, "__call__", True) == 4 * [(0.1, True)] + 4 * [(0.5, True)]
    assert not any(on for _, on in trace(model, "__call__", False))
    without = trace(TReS("resnet10", layers=1, dropout=False), "both_views", True)
    assert not any(on and rate for rate, on in without)


@pytest.mark.parametrize("at", ["input", "layer2", "layer4"])
def test_a_block_that_keeps_its_map_fits_anywhere(at):
    model = TReS("resnet10", layers=1, block=RobustBlock(2, padding=1), block_at=at)
    variables = shapes(model)
    assert set(variables["params"]["block"]) == {"conv_in", "cayley"}
    image = jax.ShapeDtypeStruct((3, 64, 64, 3), jnp.float32)
    assert jax.eval_shape(lambda v, x: model.apply(v, x, train=False), variables, image).shape == (3, 1)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"layer1 is \(20, 16\), not 8 times layer4's \(3, 2\); images need sides"):
        shapes(TReS("resnet10"), (80, 64))
    with pytest.raises(ValueError, match=r"a block has to keep the size of its map"):
        shapes(TReS("resnet10", block=RobustBlock(4), block_at="layer3"))
    with pytest.raises(ValueError, match=r"cannot insert at \['layer9'\]; choose among input, stem"):
        shapes(TReS("resnet10", block=RobustBlock(4), block_at="layer9"))
    with pytest.raises(ValueError, match="7 heads do not divide 960 features"):
        shapes(TReS("resnet10", heads=7))
    with pytest.raises(ValueError, match="features must be a multiple of 4, got 6"):
        sine_position_encoding((2, 2), 6)


def test_normalisation_and_l2_pooling_equal_loops_and_have_finite_gradients_on_empty_maps():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    window = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
    padded = np.pad(x**2, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros_like(x)
    for r in range(4):
        for c in range(5):
            expected[:, r, c] = (padded[:, r : r + 3, c : c + 3] * window[:, :, None]).sum((1, 2))
    pooled, unit = quick_jit(lambda x: (l2_pool(x), normalised(x)))(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(pooled, np.sqrt(expected + 1e-12), rtol=1e-5)
    lengths = np.linalg.norm(unit, axis=-1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-6)
    gradient = quick_jit(jax.grad(lambda x: l2_pool(normalised(x)).sum()))(jnp.zeros((1, 3, 3, 2)))
    assert np.isfinite(gradient).all()


def fake_checkpoint(model):
    """Zeros under the release's names, with all that its files hold beside the model's own tensors."""
    tensors = {"model.fc.weight": np.zeros((1000, 512)), "L2pooling_l1.filter": np.zeros((64, 1, 3, 3))}
    for path, leaf in jax.tree_util.tree_flatten_with_path(shapes(model))[0]:
        axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,), 0: ()}[leaf.ndim]
        tensors[torch_name(tuple(key.key for key in path))] = np.zeros([leaf.shape[i] for i in axes], np.float32)
    return tensors


def test_converter_takes_wrapped_and_pruned_checkpoints_and_names_what_does_not_fit():
    model = robust(layers=1)
    tensors = fake_checkpoint(model)
    assert {"transformer.encoder.layers.0.self_attn.in_proj_weight", "transformer.encoder.layers.0.norm2.bias",
            "transformer.encoder.norm.weight", "model.cayley.conv_in.bias", "model.cayley.conv_cayley.alpha",
            "model.layer1.0.bn1.running_var", "fc2.weight", "fc.bias"} <= set(tensors)  # fmt: skip
    name = "model.layer4.0.conv2.weight"
    weight = np.random.default_rng(0).normal(size=tensors[name].shape).astype(np.float32)
    mask = (np.arange(len(weight)) % 2).astype(np.float32)[:, None, None, None] * np.ones_like(weight)
    pruned = {**tensors, name + "_orig": weight, name + "_mask": mask}
    del pruned[name]
    variables = convert({"module." + key: value for key, value in pruned.items()}, shapes(model))
    kernel = variables["params"]["backbone"]["layer4_0"]["conv2"]["kernel"]
    np.testing.assert_array_equal(kernel, (weight * mask).transpose(2, 3, 1, 0))
    with pytest.raises(CheckpointError, match=r"does not fit TReS: 5 unused: model.cayley"):
        convert(tensors, shapes(TReS("resnet10", layers=1)))


def test_files_of_the_release_and_of_the_authors_load(torch, tmp_path):
    model = TReS("resnet10", layers=1)
    tensors = {name: torch.from_numpy(value + 0.5) for name, value in fake_checkpoint(model).items()}
    torch.save(tensors, tmp_path / "release")
    torch.save({"model": tensors, "optimizer": {"state": {0: {"step": 3}}}, "epoch": 4}, tmp_path / "authors")
    for name in ("release", "authors"):
        variables = load(tmp_path / name, shapes(model))
        assert all(leaf.dtype == np.float32 and (leaf == 0.5).all() for leaf in jax.tree.leaves(variables))
    del tensors["fc.bias"]
    torch.save(tensors, tmp_path / "part")
    with pytest.raises(CheckpointError, match=r"does not fit TReS: 1 missing: fc.bias$"):
        load(tmp_path / "part", shapes(model))
