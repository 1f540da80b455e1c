"""Models by name, a scorer's scale and card, and scores of photos on disk, as users of model libraries ask for them."""

import dataclasses
import re

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_backbone
from PIL import Image
from quick_models import random_variables

import robust_iqa_jax as riqa
from robust_iqa_jax.data.images import ImageError
from robust_iqa_jax.models import by_name
from robust_iqa_jax.models.presets import PRESETS
from robust_iqa_jax.models.registry import build
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.shipped import SHIPPED
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec

SPEC = ModelSpec(backbone="tiny", taps=("first", "second"), input_size=(16, 20))

pytestmark = pytest.mark.usefixtures("hardly_optimised")


@pytest.fixture(scope="module")
def scorer():
    with tiny_backbone.registered():
        calibration = Calibration(*map(jnp.float32, (20, 50, 12.5, 80)))
        yield Scorer(random_variables(build(SPEC), (1, 16, 20, 3)), calibration, SPEC)


def test_all_models_are_listed_and_those_that_ship_first():
    assert riqa.list_models() == [*SHIPPED, *PRESETS]
    assert riqa.list_models(pretrained=True) == list(SHIPPED)


def test_a_model_is_made_with_drawn_weights_or_refused_where_none_ship(scorer, monkeypatch):
    with pytest.raises(ValueError, match=r"koncept512: no trained weights of it ship \(those of robust-lite0, .* do\)"):
        riqa.create_model("koncept512")
    with pytest.raises(ValueError, match="unknown model 'konsept512'; did you mean koncept512"):
        riqa.create_model("konsept512")
    monkeypatch.setitem(PRESETS, "tiny", SPEC)
    drawn, again, other = (riqa.create_model("tiny", pretrained=False, seed=seed) for seed in (0, 0, 1))
    images = np.random.default_rng(0).uniform(size=(2, 16, 20, 3)).astype(np.float32)
    assert drawn.spec == SPEC
    np.testing.assert_array_equal(drawn(images), again(images))
    assert not np.allclose(drawn(images), other(images))


def test_a_model_that_ships_comes_trained(monkeypatch, scorer):
    monkeypatch.setattr(by_name, "load", {SHIPPED[0]: scorer}.__getitem__)
    assert riqa.create_model(SHIPPED[0]) is scorer
    assert riqa.create_model(SHIPPED[0], pretrained=False).spec == scorer.spec


def test_a_scorer_says_its_scale_and_which_way_it_goes(scorer):
    assert (scorer.lower_better, scorer.score_range) == (False, (12.5, 80))
    card = scorer._repr_html_()
    for text in ("Scorer", "tiny", "16 x 20", "mos, 12.5 to 80, higher is better", "parameters", "none"):
        assert text in card
    assert re.search("<(?!/?(table|caption|tr|th|td)[ >])", card) is None
    with_block = dataclasses.replace(scorer, spec=dataclasses.replace(SPEC, block=BlockSpec(at="first")))
    assert "at first" in with_block._repr_html_()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (24, 30, 3), np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("no photo")
    return tmp_path


def test_photos_of_a_folder_a_pattern_or_a_list_are_scored_as_one_by_one(scorer, folder):
    files = sorted(folder.glob("*.png"))
    expected = [float(scorer(riqa.read_images([file], (16, 20)))[0]) for file in files]
    for given in (folder, str(folder / "*.png"), files, iter(map(str, files))):
        rows = list(riqa.score_photos(scorer, given))
        assert [row.image for row in rows] == list(map(str, files))
        np.testing.assert_allclose([row.score for row in rows], expected, rtol=1e-4)


def test_a_photo_that_cannot_be_scored_is_an_error_or_told(scorer, folder):
    (folder / "1.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"1\.png: not an image"):
        list(riqa.score_photos(scorer, folder))
    told = []
    assert len(list(riqa.score_photos(scorer, folder, complain=told.append))) == 2
    assert len(told) == 1
    with pytest.raises(ImageError, match="no such file"):
        riqa.score_photos(scorer, folder / "9.png")


def test_read_images_gives_one_batch_and_names_what_it_does_not_take(folder):
    files = sorted(folder.glob("*.png"))
    whole = riqa.read_images(files, (24, 30))
    np.testing.assert_array_equal(whole, np.stack([riqa.read_image(file) for file in files]))
    assert riqa.read_images(files, (12, 10)).shape == (3, 12, 10, 3)
    for paths, size, message in (
        (files[0], (8, 8), r"several paths expected, got one, '.*0\.png'; write \[path\]"),
        (files, 8, r"size is \(height, width\) in pixels, such as \(384, 384\), got 8"),
        ([], (8, 8), "no paths; give one or more"),
    ):
        with pytest.raises(ValueError, match=f"^read_images: {message}"):
            riqa.read_images(paths, size)
