"""Masks of every pruning method against torch, scikit-learn and numpy transcriptions, and what masks do."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import photo_tables
import pytest
from quick_models import quick_jit, random_variables, shapes
from sklearn.cross_decomposition import PLSRegression

from robust_iqa_jax.data.images import at_size
from robust_iqa_jax.data.label_table import read_label_table
from robust_iqa_jax.defenses import hsic
from robust_iqa_jax.defenses.activations import Activations, main_convolutions, pooled_activations
from robust_iqa_jax.defenses.magnitude import l1_weight_masks, l2_filter_masks
from robust_iqa_jax.defenses.masks import apply_masks, lowest_of_all, pruned_share
from robust_iqa_jax.defenses.pls import displs_masks, filter_importance, pls_masks, protected, vip
from robust_iqa_jax.defenses.pruning import prune
from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.models.registry import build, normalise
from robust_iqa_jax.models.spec import ModelSpec

TINY = ModelSpec(backbone="tiny_lite", taps=("stage1", "stage2"), input_size=(64, 64))


def params(seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    return {
        "conv": {"kernel": draw(3, 3, 4, 20), "bias": draw(20)},
        "block": {"cayley": {"kernel": draw(3, 3, 5, 30), "alpha": draw()}},
        "depthwise": {"kernel": draw(3, 3, 12)},
        "expand": {"conv": {"kernel": draw(6, 40)}},
        "dense": {"kernel": draw(20, 10)},
    }


CONVOLUTIONS = ["block/cayley/kernel", "conv/kernel", "depthwise/kernel", "expand/conv/kernel"]


def leaf_at(tree, path):
    for part in path.split("/"):
        tree = tree[part]
    return np.asarray(tree)


@pytest.mark.parametrize("amount", [0, 0.1, 0.25])
def test_l2_drops_the_filters_with_the_smallest_norm_of_each_convolution(amount):
    tree = params()
    masks = l2_filter_masks(tree, amount)
    assert sorted(masks) == CONVOLUTIONS
    for path, mask in masks.items():
        leaf = leaf_at(tree, path)
        norms = np.sqrt((leaf.reshape(-1, leaf.shape[-1]) ** 2).sum(0))
        dropped = np.argsort(norms)[: round(amount * len(norms))]
        assert sorted(np.flatnonzero(np.asarray(mask) == 0)) == sorted(dropped)


@pytest.mark.parametrize("amount", [0.1, 0.33])
def test_magnitude_masks_are_those_of_torch(amount, torch):
    from torch.nn.utils import prune as torch_prune

    tree = {f"conv{i}": {"kernel": params(i)["conv"]["kernel"]} for i in range(3)}
    for masks, structured in ((l2_filter_masks(tree, amount), True), (l1_weight_masks(tree, amount), False)):
        convs = {}
        for name, leaves in tree.items():
            convs[name] = torch.nn.Conv2d(4, 20, 3)
            weight = np.asarray(leaves["kernel"]).transpose(3, 2, 0, 1).copy()
            convs[name].weight = torch.nn.Parameter(torch.from_numpy(weight))
            if structured:
                torch_prune.ln_structured(convs[name], "weight", amount, n=2, dim=0)
        if not structured:
            pairs = [(conv, "weight") for conv in convs.values()]
            torch_prune.global_unstructured(pairs, torch_prune.L1Unstructured, amount=amount)
        for name, conv in convs.items():
            expected = conv.weight_mask.numpy().transpose(2, 3, 1, 0)
            found = np.broadcast_to(np.asarray(masks[f"{name}/kernel"]), expected.shape)
            np.testing.assert_array_equal(found, expected)


def test_masked_filters_are_zero_and_receive_no_gradient():
    tree = params()
    masks = l2_filter_masks(tree, 0.1)
    masked = apply_masks(tree, masks)
    gradient = jax.grad(lambda p: sum(jnp.sum((x - 1) ** 2) for x in jax.tree.leaves(apply_masks(p, masks))))(tree)
    off = np.flatnonzero(np.asarray(masks["conv/kernel"]) == 0)
    assert len(off) == 2
    assert not np.asarray(masked["conv"]["kernel"])[..., off].any()
    assert not np.asarray(gradient["conv"]["kernel"])[..., off].any()
    np.testing.assert_array_equal(masked["dense"]["kernel"], tree["dense"]["kernel"])
    assert pruned_share(masks) == pytest.approx((2 + 3 + 1 + 4) / (20 + 30 + 12 + 40))


@pytest.mark.parametrize("method", ["l1", "l2", "pls"])
def test_amount_outside_the_unit_interval_is_refused(method):
    with pytest.raises(ValueError, match=r"amount must lie in \[0, 1\), got 1"):
        prune(method, 1.0, TINY, {"params": params()})


def test_an_unknown_method_and_missing_photos_are_named():
    with pytest.raises(ValueError, match="unknown method 'l3'; choose one of l1, l2, pls, displs, hsic"):
        prune("l3", 0.1, TINY, {"params": params()})
    with pytest.raises(ValueError, match="pls looks at activations, give it labelled photos"):
        prune("pls", 0.1, TINY, {"params": params()})


def data(photos=30, columns=80, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(photos, columns)) * rng.uniform(0.1, 10, columns)
    y = x[:, 0] + x[:, 1] ** 2 + rng.normal(size=photos)
    x[:, 5] = 3.25
    return x, y


@pytest.mark.parametrize("components", [1, 2, 4])
def test_vip_is_the_formula_on_scikit_learns_pls(components):
    x, y = data()
    model = PLSRegression(components).fit(x, y)
    t, w, q = model.x_scores_, model.x_weights_, model.y_loadings_
    s = np.diag(t.T @ t @ q.T @ q)
    expected = np.sqrt(x.shape[1] * (w / np.linalg.norm(w, axis=0)) ** 2 @ s / s.sum())
    found = vip(x, y, components)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)
    assert found[5] == 0
    assert (found**2).mean() == pytest.approx(1)


def test_vip_takes_fewer_components_where_one_explains_everything():
    y = np.arange(6.0)
    np.testing.assert_allclose(vip(np.stack([2 * y, -y], axis=1), y), 1)


def activations(seed=0, filters=(6, 10, 8)):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=20)
    maps = {f"layer{i}": rng.normal(size=(20, 4, f)) for i, f in enumerate(filters)}
    maps["layer1"][:, :, 3] += 3 * scores[:, None]
    return Activations(maps, rng.uniform(size=(20, 12)), scores)


def test_importance_of_a_filter_is_the_mean_over_the_cells_of_its_own_map():
    own = activations()
    columns = np.concatenate(
        [m.transpose(0, 2, 1).reshape(20, -1) for m in own.maps.values()], axis=1
    )  # filter by filter
    expected = vip(columns, own.scores).reshape(-1, 4).mean(1)
    np.testing.assert_allclose(np.concatenate(list(filter_importance(own).values())), expected, rtol=1e-10)
    assert np.argmax(expected) == 6 + 3


def test_pls_drops_the_least_important_filters_of_all_layers_but_never_a_whole_layer():
    own = activations()
    own.maps["layer0"][:] = 0  # constant: importance 0
    importance = filter_importance(own)
    masks = pls_masks(own, 0.5)
    assert np.asarray(masks["layer0"]).all()
    rest = np.concatenate([importance[name] for name in ("layer1", "layer2")])
    kept = np.concatenate([np.asarray(masks[name]) for name in ("layer1", "layer2")]).astype(bool)
    assert (~kept).sum() == 12 - 6
    assert rest[~kept].max() < rest[kept].min()


def test_displs_protects_layers_that_discriminate_better_than_the_layer_behind():
    spread = {
        "a": np.array([1.0, 3.0]),
        "b": np.array([1.0, 1.1]),
        "c": np.array([1.0, 2.0]),
        "d": np.array([1.0, 2.5]),
    }
    values = {name: own.mean() / own.std() for name, own in spread.items()}
    assert values["a"] < values["b"] > values["c"] > values["d"]
    found = protected(spread)
    assert list(found) == list(spread)
    for name in "ad":
        np.testing.assert_array_equal(found[name], spread[name])
    for name in "bc":
        assert np.isinf(found[name]).all()
    # infinite scores are not dropped even where the others do not fill the count
    assert pruned_share(lowest_of_all(found, 0.75)) == 0.5
    own = activations()
    safe = [name for name, scores in protected(filter_importance(own)).items() if np.isinf(scores).all()]
    masks = displs_masks(own, 0.4)
    assert safe
    assert all(np.asarray(masks[name]).all() for name in safe)
    assert pruned_share(masks) == pytest.approx(10 / 24)


def test_hsic_scores_are_the_sources_traces():
    own = activations()

    def operator(x):
        x = (x - x.mean(0)) / x.std(0)
        n, d = x.shape
        k = np.array([[np.exp(-np.sum((a - b) ** 2) / (2 * 5**2 * d)) for b in x] for a in x])
        h = np.eye(n) - 1 / n
        return h @ k @ h @ np.linalg.inv(h @ k @ h + 1e-5 * n * np.eye(n))

    x, y = operator(own.thumbnails), operator(own.scores[:, None])
    for name, scores in hsic.hsic_scores(own).items():
        for j, score in enumerate(scores):
            h = operator(own.maps[name][:, :, j].mean(1, keepdims=True))
            assert score == pytest.approx(4 * np.trace(h @ y) - np.trace(h @ x), abs=1e-6)


def test_hsic_keeps_what_tells_the_score_and_drops_its_share_of_each_layer():
    own = activations()
    masks = hsic.hsic_masks(own, 0.5)
    assert [int(np.sum(np.asarray(m) == 0)) for m in masks.values()] == [3, 5, 4]
    assert np.asarray(masks["layer1"])[3] == 1


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return read_label_table(photo_tables.write_photo_table(tmp_path_factory.mktemp("pruning"), count=6, side=64))


def test_activations_are_those_of_the_real_network_in_its_order(photos, tiny):
    variables = random_variables(build(TINY), (1, 64, 64, 3))
    found = pooled_activations(TINY, variables, photos)
    layers = [path.removeprefix("backbone/").removesuffix("/conv/kernel") for path in found.maps]
    assert layers[:3] == ["stem", "stage1_block1/depthwise", "stage1_block1/project"]
    assert layers[-1] == "stage2_block1/project"  # nobody reads the layer behind it
    assert len(layers) == len(set(layers)) == 1 + 2 + 3
    images = normalise(TINY, jnp.asarray(np.stack([at_size(photos.load(i), (64, 64)) for i in range(6)])))
    own = {name: variables[name]["backbone"] for name in ("params", "batch_stats")}
    maps = quick_jit(lambda v, x: build(TINY).backbone.apply(v, x, train=False))(own, images)
    norms = [variables[name]["backbone"]["stage2_block1"]["project"]["bn"] for name in ("params", "batch_stats")]
    factor = norms[0]["scale"] / np.sqrt(norms[1]["var"] + 1e-3)
    cells = np.asarray(maps["stage2"]).reshape(6, 4, 4, 4, 4, 24).mean((2, 4)).reshape(6, 16, 24)
    expected = (cells - norms[0]["bias"]) / factor + norms[1]["mean"]
    last = found.maps["backbone/stage2_block1/project/conv/kernel"]
    np.testing.assert_allclose(last, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(found.scores, photos.scores)


@pytest.mark.parametrize(
    ("model", "count"),
    [("linearity-resnet50", 1 + 3 * (3 + 4)), ("linearity-vgg16", 13), ("dbcnn", 0)],
)
def test_candidates_are_the_stem_and_the_main_convolutions_that_are_read(model, count):
    spec = preset(model)
    if model == "linearity-resnet50":
        spec = dataclasses.replace(spec, taps=("layer1", "layer2"))
    paths = main_convolutions(spec, shapes(build(spec), (1, *spec.seen_size, 3))["params"])
    assert len(paths) == count
    assert not any("downsample" in path for path in paths)


def test_photos_that_cannot_rank_filters_are_refused(photos):
    tree = {"params": {"backbone": {"stem": {"conv": {"kernel": jnp.ones((3, 3, 3, 4))}}}}}
    spec = ModelSpec()
    for few in (photos.subset([0, 1]), dataclasses.replace(photos, scores=np.ones(len(photos)))):
        with pytest.raises(ValueError, match="needs three photos and two different scores"):
            prune("hsic", 0.1, spec, tree, few)
    with pytest.raises(ValueError, match="dbcnn has no convolutions under 'backbone'"):
        prune("pls", 0.1, preset("dbcnn"), {"params": {}}, photos)
