"""SCNN and DBCNN: parameter counts, parity with independent PyTorch networks, blocks as in the authors' branch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit, random_variables, shapes

from robust_iqa_jax.backbones.scnn import SCNN, TAPS
from robust_iqa_jax.layers.robust_block import RobustBlock
from robust_iqa_jax.models.dbcnn import (
    BLOCK_POINTS,
    DBCNN,
    MEAN,
    STD,
    bilinear_features,
    block_positions,
    is_scnn_classifier,
    scnn_name,
    to_release,
    torch_name,
)
from robust_iqa_jax.weights.conversion import from_torch, require_fit
from robust_iqa_jax.weights.torch_pickle import CheckpointError

VGG_WIDTHS, SCNN_WIDTHS = (4, 6, 8, 12, 16), (4, 4, 6, 6, 6, 6, 8, 8, 8)
IMAGE = (1, 64, 64, 3)
STAGES = tuple(zip(VGG_WIDTHS, (2, 2, 3, 3, 3), strict=True))
SMALL = {"vgg_widths": VGG_WIDTHS, "scnn_widths": SCNN_WIDTHS}


def close(found, expected, tolerance=1e-9):
    """Equal up to `tolerance` of the largest entry; maps of the reference have channels first."""
    expected = expected.permute(0, 2, 3, 1) if expected.ndim == 4 else expected
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def close_statistics(updated, reference, name_of):
    from parity.torch_state import state

    after = state(reference)
    for path, leaf in jax.tree_util.tree_flatten_with_path(updated)[0]:
        np.testing.assert_allclose(leaf, after[name_of(tuple(part.key for part in path))], rtol=1e-9, atol=1e-9)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree["params"]))


def test_parameter_counts_are_those_of_the_release():
    # the tensors of pretrained_scnn/scnn.pkl and scnn_nobn.pkl in zwx8981/DBCNN-PyTorch, less running statistics
    assert count(shapes(SCNN(include_classifier=True), IMAGE)) == 640_983
    assert count(shapes(SCNN(batch_norm=False, include_classifier=True), IMAGE)) == 639_511
    # DBCNN.py there: torchvision's features, SCNN's features, 512 * 128 + 1
    assert count(shapes(DBCNN(), IMAGE)) == 14_714_688 + 531_120 + 65_537 == 15_311_345


@pytest.mark.parametrize(
    ("batch_norm", "train"), [pytest.param(True, False, marks=pytest.mark.slow), (True, True), (False, False)]
)
def test_every_map_of_scnn_equals_an_independent_pytorch_network(batch_norm, train):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_dbcnn import TorchSCNN
    from parity.torch_state import nchw, randomised, state

    reference = randomised(TorchSCNN(SCNN_WIDTHS, batch_norm)).train(train)
    before = state(reference)
    x = np.random.default_rng(0).normal(size=(2, 37, 50, 3))
    with torch.no_grad():
        maps, logits = reference(nchw(x))
    model, name_of = SCNN(SCNN_WIDTHS, batch_norm, include_classifier=True), partial(scnn_name, batch_norm=batch_norm)
    with jax.enable_x64(True):
        variables, report = from_torch(to_release(before), shapes(model, IMAGE), name_of)
        require_fit(report, "SCNN")
        run = quick_jit(lambda v, x: model.apply(v, x, train=train, mutable=["batch_stats"]))
        found, updated = run(variables, jnp.asarray(x))
    for tap, expected in zip(TAPS, maps, strict=True):
        close(found[tap], expected)
    close(found["logits"], logits)
    if train:
        close_statistics(updated, reference, name_of)


def compare(model, reference, size, train, dtype=np.float64, tolerance=1e-9, n=2):
    """The conversion of the reference's state and all that the model gives for it."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_dbcnn import Normalised
    from parity.torch_state import nchw, state

    before = state(Normalised(reference)) if hasattr(reference, "cayley") else state(reference)
    pixels = np.random.default_rng(0).uniform(size=(n, *size, 3))
    x = (pixels - np.array(MEAN)) / np.array(STD)
    with torch.no_grad():
        a, b, scores = reference.train(train)(nchw(x))
    with jax.enable_x64(dtype == np.float64):
        variables, report = from_torch(to_release(before), shapes(model, (1, *size, 3)), torch_name)
        require_fit(report, "DBCNN")
        variables = jax.tree.map(lambda leaf: leaf.astype(dtype), variables)

        def run(variables, x):
            maps, updated = model.apply(variables, x, train=train, method="maps", mutable=["batch_stats"])
            features = bilinear_features(*maps)
            fc = variables["params"]["fc"]
            return maps, features @ fc["kernel"] + fc["bias"], updated

        found, score, updated = quick_jit(run)(variables, jnp.asarray(x, dtype))
    assert score.shape == (n, 1)
    close(found[0], a, tolerance)
    if found[1].shape[1:3] == tuple(b.shape[2:]):
        close(found[1], b, tolerance)
    close(score, scores, tolerance)
    return updated, before


@pytest.mark.parametrize(
    ("size", "train", "dtype", "tolerance"),
    [
        pytest.param((66, 80), False, np.float64, 1e-9, marks=pytest.mark.slow),
        ((48, 70), True, np.float64, 1e-9),
        ((64, 96), False, np.float32, 1e-4),
    ],
)
def test_score_equals_an_independent_pytorch_network(size, train, dtype, tolerance):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_dbcnn import TorchDBCNN
    from parity.torch_state import randomised

    reference = randomised(TorchDBCNN(STAGES, SCNN_WIDTHS))
    updated, _ = compare(DBCNN(**SMALL), reference, size, train, dtype, tolerance)
    if train:
        close_statistics(updated, reference, torch_name)


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True])
def test_score_equals_an_independent_pytorch_network_at_full_width(train):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_dbcnn import TorchDBCNN
    from parity.torch_state import randomised

    reference = randomised(TorchDBCNN())
    updated, _ = compare(DBCNN(), reference, (100, 132), train)
    if train:
        close_statistics(updated, reference, torch_name)


BLOCKS = {
    "cayley": ("conv5_2", ""),
    "cayley2": ("conv5_2", "conv8"),
    "cayley3": ("pool4", ""),
    "cayley4": ("pool4", "conv6"),
}


def with_blocks(flag):
    """The small model with blocks where A-DB's option puts them."""
    block, (at, scnn_at) = partial(RobustBlock, 4, "square", 0, "spectrum"), BLOCKS[flag]
    return DBCNN(**SMALL, block=block(), block_at=at, scnn_block=block() if scnn_at else None, scnn_block_at=scnn_at)


@pytest.mark.parametrize("flag", BLOCKS)
def test_blocks_are_named_as_in_the_authors_branch(flag):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_dbcnn import Normalised, TorchDBCNN
    from parity.torch_state import randomised, state

    tensors = state(Normalised(randomised(TorchDBCNN(STAGES, SCNN_WIDTHS, flag=flag))))
    assert block_positions(tensors) == BLOCKS[flag]
    _, report = from_torch(to_release(tensors), shapes(with_blocks(flag), (1, 96, 128, 3)), torch_name)
    require_fit(report, flag)


@pytest.mark.slow
@pytest.mark.parametrize("flag", BLOCKS)
def test_blocks_sit_where_they_do_in_the_authors_branch(flag):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_dbcnn import TorchDBCNN
    from parity.torch_state import randomised

    reference = randomised(TorchDBCNN(STAGES, SCNN_WIDTHS, flag=flag))
    compare(with_blocks(flag), reference, (96, 128), False, n=1)


def test_prefixes_and_masks_of_a_checkpoint_do_not_matter():
    weight, mask = np.arange(1.0, 7.0).reshape(2, 3), np.array([[1.0], [0.0]])
    released = to_release(
        {
            "module.features1.0.weight_orig": weight,
            "module.features1.0.weight_mask": mask,
            "module.fc.bias": np.ones(1),
            "normalize.mean": np.zeros(3),
        }
    )
    assert set(released) == {"features1.0.weight", "fc.bias"}
    np.testing.assert_array_equal(released["features1.0.weight"], weight * mask)
    assert is_scnn_classifier("projection.1.running_mean")
    with pytest.raises(CheckpointError, match=r"has a block at features1.27, behind conv5_2; it has to follow a ReLU"):
        block_positions({"features1.27.conv_in.weight": weight})


@pytest.mark.slow
def test_gradient_goes_through_the_block_to_every_image():
    model = with_blocks("cayley3")
    x = jnp.asarray(np.random.default_rng(2).normal(size=(2, 64, 72, 3)), jnp.float32)
    variables = random_variables(model, x.shape)
    score = quick_jit(jax.value_and_grad(lambda x, variables: model.apply(variables, x, train=False).sum()))
    value, gradient = score(x, variables)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max((1, 2, 3)) > 1e-6).all()


def test_bilinear_features_have_unit_length_and_gradients_for_entries_of_any_sign():
    rng = np.random.default_rng(0)
    a, b = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((2, 3, 4, 5), (2, 4, 4, 6)))
    features = quick_jit(bilinear_features)(a, b.at[0].set(0))
    assert features.shape == (2, 30)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(features[0], 30**-0.5, rtol=1e-5)
    gradient = quick_jit(jax.grad(lambda a, b: bilinear_features(a, b)[0, 3]))(a, b)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[0]).min() > 0


def test_bad_names_are_named():
    model, x = DBCNN(**SMALL), jnp.zeros((2, 48, 64, 3))
    assert "pool5" not in BLOCK_POINTS
    block = RobustBlock(4)
    with pytest.raises(ValueError, match="DBCNN: no block at 'pool5' of VGG; choose one of input, conv1_1"):
        model.clone(block=block, block_at="pool5").apply({}, x, train=False)
    with pytest.raises(ValueError, match="DBCNN: no block at 'conv5_2' of SCNN; choose one of input, conv1, conv2"):
        model.clone(scnn_block=block, scnn_block_at="conv5_2").apply({}, x, train=False)
    with pytest.raises(ValueError, match=r"SCNN: cannot insert at \['bn1'\]; choose among input, conv1"):
        SCNN().apply({}, x, train=False, insert={"bn1": lambda m: m})
    with pytest.raises(ValueError, match="SCNN: cannot start at 'pool'; choose one of conv1"):
        SCNN().apply({}, x, train=False, start="pool")
    with pytest.raises(ValueError, match=r"SCNN: expected images \(n, h, w, 3\), got \(2, 48, 64, 1\)"):
        SCNN().apply({}, x[..., :1], train=False)
