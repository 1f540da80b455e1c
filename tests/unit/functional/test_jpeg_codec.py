"""The JPEG codec: its tables are Pillow's, its derivative is that of the codec without roundings."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from quick_models import quick_jit
from skimage import data

from robust_iqa_jax.functional.jpeg import LUMA_TABLE, round_trip, scaled_table

PHOTO = data.coffee()[None, 100:132, 150:182].astype(np.float32) / 255


def test_tables_are_those_that_pillow_writes():
    for quality in (1, 25, 50, 75, 100):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        written = np.reshape(Image.open(file).quantization[0], (8, 8))
        np.testing.assert_array_equal(scaled_table(LUMA_TABLE, quality), written)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_derivative_is_that_of_the_codec_without_roundings(subsampling):
    """At quality 100 a change of many levels passes as it does through the derivative; at any quality the derivative
    is the same linear map, since the quantiser counts as the identity."""
    photo = jnp.clip(jnp.asarray(PHOTO), 0.2, 0.8)
    direction = 0.1 * jnp.asarray(np.random.default_rng(0).normal(size=photo.shape), jnp.float32)
    trip = lambda quality: lambda x: round_trip(x, quality, subsampling)  # noqa: E731

    @quick_jit
    def derivatives(photo, direction):
        fine, coarse = (jax.jvp(trip(quality), (photo,), (direction,))[1] for quality in (100, 10))
        return fine, coarse, (trip(100)(photo + direction) - trip(100)(photo - direction)) / 2

    along, coarse, difference = derivatives(photo, direction)
    assert float(jnp.abs(along - difference).mean()) < 1 / 255 < 0.1 * float(jnp.abs(direction).mean())
    np.testing.assert_allclose(coarse, along, atol=1e-5)


@pytest.mark.slow
def test_forward_and_reverse_derivatives_are_each_others_transpose():
    rng = np.random.default_rng(1)
    direction, weights = (jnp.asarray(rng.normal(size=PHOTO.shape), jnp.float32) for _ in range(2))
    _, along = jax.jvp(lambda x: round_trip(x, 30), (jnp.asarray(PHOTO),), (direction,))
    _, pull = jax.vjp(lambda x: round_trip(x, 30), jnp.asarray(PHOTO))
    assert float((weights * along).sum()) == pytest.approx(float((pull(weights)[0] * direction).sum()), rel=1e-3)


def test_grey_images_are_refused():
    with pytest.raises(ValueError, match="jpeg needs images of 3 channels, got 1"):
        round_trip(jnp.zeros((1, 8, 8, 1)), 75)
