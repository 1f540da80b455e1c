"""What every orthogonal convolution has in common with flax.linen.Conv, and what it keeps inside a user's own model."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.nnx import Rngs
from flax.nnx.bridge import ToNNX, lazy_init
from quick_models import quick_jit
from slow_cases import slow_but

from robust_iqa_jax.layers import CONVOLUTIONS, OPERATORS, GroupSort, InvertibleDownsampling, RobustBlock, prepared

every_layer = pytest.mark.parametrize("layer", CONVOLUTIONS.values(), ids=list(CONVOLUTIONS))
two_layers = pytest.mark.parametrize("layer", slow_but(CONVOLUTIONS, "cayley", "bcop"))
"""For what is in orthogonal_conv.py, the same for all: of the others in the slow tests."""
ISOMETRIES = ("cayley", "bcop", "bro")
KEY = jax.random.key(0)
FLOATS = ("bfloat16", "float32", "float64")

applied = quick_jit(lambda module, variables, x: module.apply(variables, x), static_argnums=0)


def drawn(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def variables_of(module, x, scale=1.0, seed=1):
    """Variables of the module, drawn in numpy; alpha is 2 scale."""
    rng = np.random.default_rng(seed)
    draw = lambda path, leaf: np.full(leaf.shape, 2.0) if path[-1].key == "alpha" else rng.normal(size=leaf.shape)  # noqa: E731
    shapes = jax.eval_shape(module.init, KEY, x)
    return jax.tree_util.tree_map_with_path(lambda p, leaf: jnp.asarray(scale * draw(p, leaf), leaf.dtype), shapes)


def length(x):
    return float(np.linalg.norm(np.asarray(x, np.float64)))


def like_flax(features, sides, **settings):
    both = (sides, sides) if isinstance(sides, int) else sides
    return nn.Conv(features, both, padding="CIRCULAR", **settings)


@every_layer
@pytest.mark.parametrize(
    ("sides", "shape", "settings"),
    [
        (3, (2, 6, 4, 4), {}),
        ((2, 5), (6, 4, 4), {"use_bias": False}),
        ((3, 1), (2, 3, 6, 4, 4), {"strides": 2}),
        (3, (2, 6, 4, 4), {"strides": (1, 2), "feature_group_count": 2}),
        (3, (0, 6, 4, 4), {}),
    ],
)
def test_shapes_are_those_of_flax(layer, sides, shape, settings):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    results = [
        jax.eval_shape(m.init_with_output, KEY, x)
        for m in (layer(8, sides, **settings), like_flax(8, sides, **settings))
    ]
    assert results[0][0].shape == results[1][0].shape
    ours, theirs = (variables["params"] for _, variables in results)
    assert ("bias" in ours) == ("bias" in theirs)
    if "bias" in theirs:
        assert ours["bias"].shape == theirs["bias"].shape
    if layer.__name__ in ("CayleyConv", "AOLConv") and "strides" not in settings:
        assert ours["kernel"].shape == theirs["kernel"].shape


@two_layers
@pytest.mark.parametrize("given", FLOATS)
def test_types_are_those_of_flax(layer, given):
    with jax.enable_x64(True):
        for dtype in (None, *FLOATS):
            for param_dtype in FLOATS:
                settings = {"dtype": dtype, "param_dtype": jnp.dtype(param_dtype)}
                x = jax.ShapeDtypeStruct((2, 4, 3, 2), given)
                (y, ours), (z, _) = (
                    jax.eval_shape(m.init_with_output, KEY, x)
                    for m in (layer(4, (1, 2), **settings), like_flax(4, (1, 2), **settings))
                )
                assert y.dtype == z.dtype
                assert {leaf.dtype for leaf in jax.tree.leaves(ours)} == {jnp.dtype(param_dtype)}


@every_layer
def test_initialisers_are_the_users(layer):
    settings = {"kernel_init": nn.initializers.constant(0.25), "bias_init": nn.initializers.constant(3)}
    parameters = quick_jit(layer(5, **settings).init)(KEY, drawn(1, 3, 3, 2))["params"]
    assert (parameters["kernel"] == 0.25).all()
    assert (parameters["bias"] == 3).all()


@two_layers
def test_groups_are_convolved_apart_and_strides_take_patches(layer):
    x = drawn(2, 4, 6, 4)
    grouped = layer(6, (1, 3), feature_group_count=2)
    variables = variables_of(grouped, x)

    def of_group(i, leaf):
        share = leaf.shape[-1] // 2
        return leaf[i] if leaf.shape == (2,) else leaf[..., i * share : (i + 1) * share]

    alone = layer(3, (1, 3))
    parts = [applied(alone, jax.tree.map(partial(of_group, i), variables), x[..., 2 * i : 2 * i + 2]) for i in (0, 1)]
    np.testing.assert_allclose(applied(grouped, variables, x), np.concatenate(parts, -1), atol=1e-5)

    strided, down = layer(9, (1, 3), strides=(2, 1)), InvertibleDownsampling((2, 1))
    variables = variables_of(strided, x)
    patches = down.apply({}, x)
    assert patches.shape == (2, 2, 6, 8)
    np.testing.assert_allclose(applied(strided, variables, x), applied(layer(9, (1, 3)), variables, patches), atol=1e-5)


@every_layer
@pytest.mark.parametrize("size", [(1, 1), (1, 5)])
@pytest.mark.parametrize("features", [6, 2])
def test_small_maps_and_large_parameters_keep_or_never_grow_the_norm(layer, size, features):
    x = drawn(1, *size, 4)
    module = layer(features, (2, 3), use_bias=False)
    for scale in (1.0, 300.0):
        y = applied(module, variables_of(module, x, scale), x)
        if isometric(layer) and features >= 4:
            assert length(y) == pytest.approx(length(x), rel=2e-5)
        else:
            assert length(y) <= length(x) * (1 + 2e-5)


def isometric(layer):
    return layer in [CONVOLUTIONS[name] for name in ISOMETRIES]


class Step(nn.Module):
    """A layer as a scan takes it."""

    layer: type[nn.Module]

    @nn.compact
    def __call__(self, x, _):
        return GroupSort()(self.layer(4, (1, 2), name="conv")(x)), None


class Stack(nn.Module):
    """Two scanned steps, rematerialised; behind them two heads that see the same map."""

    layer: type[nn.Module]

    @nn.compact
    def __call__(self, x):
        axes = {"params": 0, OPERATORS: 0}
        steps = nn.scan(nn.remat(Step), variable_axes=axes, split_rngs={"params": True}, length=2)
        x, _ = steps(self.layer, name="steps")(x, None)
        heads = nn.vmap(self.layer, variable_axes=axes, split_rngs={"params": True}, in_axes=None, axis_size=2)
        return heads(4, (1, 2), name="heads")(x)


@pytest.mark.parametrize("layer", slow_but(CONVOLUTIONS, "cayley"))
def test_scan_remat_and_vmap_give_what_the_layers_give_one_by_one(layer):
    model, single, x = Stack(layer), layer(4, (1, 2)), drawn(2, 1, 3, 4)
    variables = variables_of(model, x)
    steps, heads = (
        [jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in (0, 1)]
        for tree in (variables["params"]["steps"]["conv"], variables["params"]["heads"])
    )

    def one_by_one(variables, x):
        for parameters in variables["steps"]:
            x = GroupSort().apply({}, single.apply({"params": parameters}, x))
        return jnp.stack([single.apply({"params": parameters}, x) for parameters in variables["heads"]])

    @quick_jit
    def run(variables, apart, x):
        loss = lambda variables: jnp.sum(model.apply(variables, x) ** 3)  # noqa: E731
        fixed = prepared(model, variables, x)
        return model.apply(variables, x), model.apply(fixed, x), jax.grad(loss)(variables), one_by_one(apart, x)

    y, from_operators, gradient, expected = run(variables, {"steps": steps, "heads": heads}, x)
    np.testing.assert_allclose(y, expected, atol=1e-4)
    np.testing.assert_allclose(from_operators, expected, atol=1e-4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@two_layers
def test_nnx_takes_it_through_the_bridge(layer):
    module, x = layer(4, (1, 2)), drawn(2, 1, 3, 2)
    bridged = lazy_init(ToNNX(module, rngs=Rngs(0)), x)
    parameters = {name: getattr(bridged, name)[...] for name in jax.eval_shape(module.init, KEY, x)["params"]}
    np.testing.assert_allclose(bridged(x), module.apply({"params": parameters}, x), atol=1e-6)
    assert not hasattr(bridged, "operator")


@two_layers
def test_prepared_variables_take_the_place_of_parameters(layer):
    module, x = layer(6, (1, 2), feature_group_count=2), drawn(2, 1, 3, 4)
    variables = variables_of(module, x)
    fixed = prepared(module, variables, x)
    assert not fixed["params"]
    np.testing.assert_allclose(applied(module, fixed, x), applied(module, variables, x), atol=1e-5)
    other = drawn(2, 2, 4, 4)
    if layer in (CONVOLUTIONS["cayley"], CONVOLUTIONS["bro"]):  # inverses at the frequencies of one size
        with pytest.raises(ValueError, match=r"prepared for maps of \(1, 3\), got \(2, 4\)"):
            module.apply(fixed, other)
    else:
        np.testing.assert_allclose(applied(module, fixed, other), applied(module, variables, other), atol=1e-5)
    with pytest.raises(ValueError, match="derivatives in a prepared operator asked for"):
        jax.grad(lambda v: module.apply(v, x).sum())(fixed)


@two_layers
def test_half_precision_rounds_the_result_alone(layer):
    x = drawn(2, 1, 3, 4).astype(jnp.bfloat16)
    module = layer(6, (1, 2), dtype=jnp.bfloat16)
    variables = variables_of(module, x)
    y, exact = applied(module, variables, x), applied(layer(6, (1, 2)), variables, x.astype(jnp.float32))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-8, atol=1e-5)


@every_layer
def test_the_former_name_of_strides_warns_and_means_the_same(layer):
    x, name = jax.ShapeDtypeStruct((2, 4, 6, 4), jnp.float32), layer.__name__
    with pytest.warns(DeprecationWarning, match=f"{name}: stride is called strides now"):
        former = jax.eval_shape(layer(16, stride=2).init_with_output, KEY, x)
    assert former == jax.eval_shape(layer(16, strides=2).init_with_output, KEY, x)
    with pytest.raises(ValueError, match=f"{name}: stride must be 1 or 2, got 3"):
        jax.eval_shape(layer(16, stride=3).init, KEY, x)


@every_layer
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": 0}, "features and both sides of the kernel must be at least 1"),
        ({"kernel_size": (3, 3, 3)}, "features and both sides of the kernel must be at least 1"),
        ({"padding": "SAME"}, "joined borders only; padding='SAME' must be 'CIRCULAR'"),
        ({"feature_group_count": 3}, "feature_group_count 3 must divide 4 channels and 6 features"),
        ({"strides": (2, 1)}, "strides 2 x 1 do not divide maps of 5 x 6"),
        ({"strides": 0}, "strides 0 x 0 do not divide maps of 5 x 6"),
    ],
)
def test_bad_arguments_are_named(layer, settings, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(layer(**{"features": 6, **settings}).init, KEY, drawn(2, 5, 6, 4))


def test_ranks_and_widths_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="BROConv: rank 7 must lie between 1 and the 6 channels of a group"):
        CONVOLUTIONS["bro"](6, rank=7).init(KEY, drawn(2, 5, 6, 4))
    with pytest.raises(ValueError, match="SLLConv: width must be at least 1, got 0"):
        CONVOLUTIONS["sll"](6, width=0).init(KEY, drawn(2, 5, 6, 4))


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_robust_block_has_any_of_them_under_its_name(name):
    block, x = RobustBlock(3, padding=1, convolution=name), jax.ShapeDtypeStruct((2, 5, 7, 6), jnp.bfloat16)
    y, variables = jax.eval_shape(block.init_with_output, KEY, x)
    assert (y.shape, y.dtype) == ((2, 4, 4, 6), jnp.bfloat16)  # pooled to a square of 4
    assert set(variables["params"]) == {"conv_in", name}
    assert set(jax.eval_shape(partial(prepared, block), variables, x)["params"]) == {"conv_in"}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_some_can_be_a_given_isometry(name):
    layer, x = CONVOLUTIONS[name](6, use_bias=False), drawn(1, 3, 4, 4)
    left, _, right = np.linalg.svd(drawn(6, 4), full_matrices=False)
    matrix = left @ right  # with its top square made symmetric positive semi-definite
    left, _, right = np.linalg.svd(matrix[:4])
    matrix = jnp.asarray(matrix @ (left @ right).T)
    free = variables_of(layer, x)["params"]
    if name in ("bro", "sll"):
        with pytest.raises(ValueError, match=f"{name.upper()}Conv cannot start as a given isometry; CayleyConv"):
            layer.isometry(matrix, free)
    else:
        y = applied(layer, {"params": layer.isometry(matrix, free)}, x)
        np.testing.assert_allclose(y, x @ matrix.T, atol=1e-5)


def test_a_robust_block_names_what_it_does_not_know():
    x = drawn(1, 5, 5, 4)
    with pytest.raises(ValueError, match="unknown convolution 'svd'; choose one of cayley, bcop, bro, aol, sll"):
        RobustBlock(3, convolution="svd").init(KEY, x)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="norm, alpha_init and compat are the Cayley convolution's; bcop has none"):
        RobustBlock(3, norm="spectrum", convolution="bcop").init(KEY, x)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_group_sort_sorts_neighbours_and_keeps_norms(size):
    x = drawn(2, 3, 6)
    y = GroupSort(size).apply({}, x)
    np.testing.assert_array_equal(y, np.sort(np.asarray(x).reshape(2, 3, -1, size), -1).reshape(x.shape))
    with pytest.raises(ValueError, match="groups of 4 do not divide 6 channels"):
        GroupSort(4).apply({}, x)


def test_invertible_downsampling_is_an_isometry_with_an_inverse():
    x, down = drawn(2, 3, 4, 6, 5), InvertibleDownsampling((2, 3))
    y = down.apply({}, x)
    assert y.shape == (2, 3, 2, 2, 30)
    assert length(y) == pytest.approx(length(x))
    np.testing.assert_array_equal(
        y[0, 0, 1, 0, :6], x[0, 0, 2:4, 0:3, 0].ravel()
    )  # a patch's first channel comes first
    np.testing.assert_array_equal(down.apply({}, y, method="inverse"), x)
    with pytest.raises(ValueError, match="need a multiple of 6 channels, got 5"):
        down.apply({}, x, method="inverse")
