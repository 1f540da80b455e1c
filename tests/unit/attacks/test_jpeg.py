"""The JPEG round trip against Pillow's, at sizes that do and do not fill blocks."""

import io

import jax
import numpy as np
import pytest
from PIL import Image
from skimage import data

from robust_iqa_jax.attacks.jpeg import JPEG

KEY = jax.random.key(0)


def pillow(pixels, quality, subsampling):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file)).astype(int)


@pytest.mark.parametrize(
    ("photo", "size", "subsampling"), [(data.coffee, (96, 112), "4:4:4"), (data.chelsea, (77, 53), "4:2:0")]
)
def test_equals_pillow_up_to_a_few_blocks_one_step_off(photo, size, subsampling):
    pixels = np.ascontiguousarray(photo()[100 : 100 + size[0], 150 : 150 + size[1]])
    for quality in (10, 49, 75, 95):
        ours = np.asarray(JPEG(quality, subsampling=subsampling)(None, KEY, pixels[None].astype(np.float32) / 255))
        levels = np.round(ours[0] * 255).astype(int)
        difference = np.abs(levels - pillow(pixels, quality, subsampling))
        assert (difference == 0).mean() > 0.9
        assert difference.mean() < 0.1
        assert difference.max() <= 12


def test_quality_sweeps_compile_once():
    traces = []

    class Counted(JPEG):
        def perturb(self, *args):
            traces.append(1)
            return super().perturb(*args)

    jax.tree_util.register_dataclass(Counted, data_fields=["quality"], meta_fields=["subsampling"])
    x = data.coffee()[None, :16, :16].astype(np.float32) / 255
    lengths = [float(np.abs(Counted(quality)(None, KEY, x) - x).mean()) for quality in (5, 30, 60, 100)]
    assert lengths == sorted(lengths, reverse=True)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quality": 101}, "quality from 1 to 100 expected, got 101"),
        ({"quality": 0}, "quality must be above 0"),
        ({"subsampling": "4:1:1"}, "unknown subsampling '4:1:1'; choose one of 4:2:0, 4:4:4"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        JPEG(**arguments)


def test_grey_images_are_refused():
    with pytest.raises(ValueError, match="jpeg needs images of 3 channels, got 1"):
        JPEG()(None, KEY, np.zeros((1, 8, 8, 1), np.float32))
