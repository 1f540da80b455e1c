"""jax_numpy_rank_promotion="raise": every layer and every model, forward, backward and prepared, by shape alone."""

import jax
import jax.numpy as jnp
import pytest

from robust_iqa_jax.functional import pooling
from robust_iqa_jax.functional.approximate_cayley import (
    band_limited_cayley_conv,
    bfloat16_cayley_conv,
    truncated_cayley_conv,
)
from robust_iqa_jax.functional.authors_cayley import authors_cayley_conv
from robust_iqa_jax.functional.cayley import cayley_conv, warm_cayley_conv
from robust_iqa_jax.functional.conv2d import conv2d
from robust_iqa_jax.functional.depthwise import depthwise_conv
from robust_iqa_jax.functional.feature_distance import feature_distance
from robust_iqa_jax.functional.filters import gaussian_blur, median_filter, unsharp_mask
from robust_iqa_jax.functional.group_sort import group_sort
from robust_iqa_jax.functional.jpeg import round_trip
from robust_iqa_jax.functional.map_resize import adaptive_average_pool, resize_aligned
from robust_iqa_jax.functional.pooling import l2_pool
from robust_iqa_jax.functional.resize import resize
from robust_iqa_jax.functional.ssim import ms_ssim, ssim
from robust_iqa_jax.kernels.dft2.api import irfft2, rfft2
from robust_iqa_jax.layers import CONVOLUTIONS, OPERATORS, CayleyConv
from robust_iqa_jax.layers.batch_norm import BatchNorm
from robust_iqa_jax.layers.conv import Conv
from robust_iqa_jax.layers.dense import Dense
from robust_iqa_jax.layers.robust_block import RobustBlock
from robust_iqa_jax.layers.swin import SwinTransformer
from robust_iqa_jax.layers.transformer_encoder import TransformerEncoder
from robust_iqa_jax.models.presets import PRESETS
from robust_iqa_jax.models.registry import build, normalise, shapes
from robust_iqa_jax.models.scorer import Calibration, Scorer

X = jax.ShapeDtypeStruct((2, 8, 8, 4), jnp.float32)


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_rank_promotion("raise"):
        yield


def backward(function, *arguments):
    """Shapes of the function's value and of its gradients in all floating arguments."""

    def loss(*arguments):
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(function(*arguments)))

    return jax.eval_shape(jax.value_and_grad(loss, tuple(range(len(arguments)))), *arguments)


def shaped(*size):
    return jax.ShapeDtypeStruct(size, jnp.float32)


CAYLEY = (shaped(3, 3, 4, 6), shaped(), shaped(6))
"""Kernel, alpha and bias of 4 channels to 6."""

FUNCTIONS = {
    "cayley": (cayley_conv, *CAYLEY),
    "cayley, block factors over many frequencies": (
        lambda x, *free: cayley_conv(jnp.tile(x, (1, 4, 4, 16)), *free),
        shaped(3, 3, 64, 65),
        shaped(),
        shaped(65),
    ),
    "narrow cayley": (cayley_conv, shaped(3, 3, 4, 3), shaped(), shaped(3)),
    "authors' cayley": (authors_cayley_conv, *CAYLEY),
    "warm cayley": (
        lambda x, *free: warm_cayley_conv(x, *free, jnp.zeros((40, 4, 4), jnp.complex64))[0],
        *CAYLEY,
    ),
    "truncated cayley": (
        lambda x, *free: truncated_cayley_conv(x, *free, steps=2),
        *CAYLEY,
    ),
    "bfloat16 cayley": (
        lambda x, *free: bfloat16_cayley_conv(x, *free, steps=2),
        *CAYLEY,
    ),
    "band-limited cayley": (
        lambda x, *free: band_limited_cayley_conv(x, *free, keep=0.5),
        *CAYLEY,
    ),
    "conv2d": (conv2d, shaped(3, 3, 4, 6)),
    "depthwise": (depthwise_conv, shaped(3, 3, 4)),
    "dft": (lambda x: irfft2(rfft2(x, "matmul"), (8, 8), "matmul"),),
    "average pool": (lambda x: pooling.avg_pool(x, 3, 2, 1),),
    "max pool": (lambda x: pooling.max_pool(x, 3, 2, 1),),
    "pyramid": (lambda x: pooling.spsp_pool(x, 2, "mean+std"),),
    "square": (lambda x: pooling.pool_to_square(x[:, 1:]),),
    "l2 pool": (l2_pool,),
    "aligned": (lambda x: resize_aligned(x, (5, 6)),),
    "adaptive": (lambda x: adaptive_average_pool(x, (5, 6)),),
    "resize": (lambda x: resize(x, (5, 6)),),
    "jpeg": (lambda x: round_trip(x[..., :3], 50),),
    "blur": (lambda x: gaussian_blur(x, 1.0),),
    "unsharp": (lambda x: unsharp_mask(x, 1.0, 0.5),),
    "median": (lambda x: median_filter(x, 3),),
    "group sort": (group_sort,),
    "ssim": (lambda x: ssim(jnp.tile(x, (1, 2, 2, 1)), jnp.tile(x, (1, 2, 2, 1)) + 1),),
    "ms-ssim": (lambda x: ms_ssim(jnp.tile(x, (1, 22, 22, 1)), jnp.tile(x, (1, 22, 22, 1)) + 1),),
    "feature distance": (lambda x: feature_distance(lambda y: [y])(x, x + 1),),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_spread_nothing_on_their_own(name):
    function, *parameters = FUNCTIONS[name]
    backward(function, X, *parameters)


LAYERS = {
    "strided cayley": (CayleyConv(16, strides=2, norm="spectrum"), {}),
    **{name: (layer(6), {}) for name, layer in CONVOLUTIONS.items()},
    "grouped bcop": (CONVOLUTIONS["bcop"](6, feature_group_count=2), {}),
    "block": (RobustBlock(3, padding=1), {}),
    "conv": (Conv(5, 3, use_bias=True), {}),
    "dense": (Dense(5), {}),
    "batch norm": (BatchNorm(), {"train": True}),
    "swin": (SwinTransformer((2,), (2,), 4, 8, 0.8, False), {"train": False}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_spread_nothing_on_their_own(name):
    layer, settings = LAYERS[name]
    variables = jax.eval_shape(lambda key, x: layer.init(key, x, **settings), jax.random.key(0), X)
    backward(lambda variables, x: layer.apply(variables, x, **settings), variables, X)
    jax.eval_shape(lambda v, x: layer.apply(v, x, mutable=[OPERATORS], **settings), variables, X)


def test_a_transformer_spreads_nothing_on_its_own():
    layer, x, positions = TransformerEncoder(1, 2, 8), shaped(2, 9, 4), shaped(9, 4)
    variables = jax.eval_shape(lambda k, *a: layer.init(k, *a, train=False), jax.random.key(0), x, positions)
    backward(lambda v, *a: layer.apply(v, *a, train=False), variables, x, positions)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PRESETS if "lite1" not in name and "lite2" not in name])
def test_models_spread_nothing_on_their_own(name):
    spec = PRESETS[name]
    module, variables = build(spec), shapes(spec)
    images = shaped(2, *spec.seen_size, 3)

    def trained(params, rest, images, key):
        x = normalise(spec, images)
        own = {**rest, "params": params}
        return module.apply(own, x, train=True, mutable=["batch_stats"], rngs={"dropout": key})[0].sum()

    jax.eval_shape(jax.grad(trained), variables["params"], variables, images, jax.random.key(0))
    scorer = Scorer(variables, Calibration.identity(), spec)
    backward(lambda x, s: s(x), shaped(2, *spec.input_size, 3), scorer)
    if spec.block is not None:
        jax.eval_shape(lambda v, x: module.apply(v, x, train=False, mutable=[OPERATORS]), variables, images)
