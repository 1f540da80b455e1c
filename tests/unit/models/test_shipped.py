"""The models that ship: found by name, as accurate and as hard to push as their cards say, small, and described."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robust_iqa_jax as riqa
from robust_iqa_jax.attacks.arguments import example_keys
from robust_iqa_jax.data.distorted_photos import embedded_photo
from robust_iqa_jax.data.images import at_size
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.shipped import DEFAULT, FOLDER, MEASURED, SHIPPED, UNDEFENDED, shipped_measurements
from robust_iqa_jax.weights.torch_pickle import CheckpointError

PHOTOS = ("astronaut", "coffee", "chelsea", "china")


@pytest.fixture(scope="module")
def models():
    return {name: riqa.load(name) for name in SHIPPED}


def pixels(scorer, photos=PHOTOS):
    return jnp.stack([at_size(embedded_photo(photo), scorer.spec.input_size) for photo in photos])


def test_the_default_is_the_robust_one(models):
    for mine, named in zip(jax.tree.leaves(riqa.load()), jax.tree.leaves(models["robust-lite0"]), strict=True):
        np.testing.assert_array_equal(mine, named)


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_are_small_on_disk_and_single_in_memory(name, models):
    assert (FOLDER / name / checkpoint.WEIGHTS).stat().st_size <= 12_000_000
    assert {leaf.dtype for leaf in jax.tree.leaves(models[name])} == {np.dtype("float32")}
    assert models[name].label == "mos"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_photo_has_the_score_that_was_measured_where_the_card_was_written(name, models):
    example = shipped_measurements()[name]["example"]
    scorer = models[name]
    width = float(scorer.calibration.high - scorer.calibration.low)
    score = float(scorer(pixels(scorer, [example["photo"]]))[0])
    assert score == pytest.approx(example["score"], abs=1e-4 * width)


@pytest.mark.slow
def test_an_attack_moves_the_robust_one_far_less(models):
    moved = {}
    for name, scorer in models.items():
        photos = pixels(scorer, PHOTOS[1:2])
        keys = example_keys(jax.random.key(0), len(photos))
        attacked = riqa.attacks.pgd(eps=4 / 255, steps=5)(scorer, keys, photos)
        moved[name] = float(jnp.mean(scorer(attacked) - scorer(photos)))
    assert 0 < moved[DEFAULT] < moved[UNDEFENDED] / 3


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_has_the_numbers_of_the_description(name):
    card, measured = (FOLDER / name / "README.md").read_text(), shipped_measurements()[name]
    assert card.startswith(f"# {name}\n")
    for accuracy in measured["accuracies"]:
        assert f"{accuracy['srocc']:.3f}" in card
    for way in ("raised", "lowered"):
        assert f"| {name} | {measured['gain'][f'{way} by']} | 4/255 |" in card
        assert f"| {measured['gain'][way]:.4f} |" in card
    assert "BIQ2021" in card
    assert "LIVE In the Wild" in card


def test_half_precision_is_a_way_to_store_parameters(tmp_path, models):
    scorer = models[DEFAULT]
    checkpoint.save(tmp_path / "half", scorer, half=True)
    read = checkpoint.load(tmp_path / "half")
    for path, leaf in jax.tree.leaves_with_path(read.variables):
        expected = dict(jax.tree.leaves_with_path(scorer.variables))[path]
        if path[0].key == "params":
            expected = np.asarray(expected, np.float16).astype(np.float32)
        np.testing.assert_array_equal(leaf, expected)
        assert leaf.dtype == np.float32


def test_a_name_that_the_folder_has_too_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(DEFAULT).mkdir()
    with pytest.raises(CheckpointError, match=r"^robust-lite0: a model that ships .* whole path$"):
        riqa.load(DEFAULT)
    riqa.load()  # without a name there is nothing to mix up


def test_the_description_says_how_it_was_trained():
    for name in SHIPPED:
        facts = json.loads((FOLDER / name / checkpoint.DESCRIPTION).read_text())["facts"]
        config = facts["config"]
        assert config["name"] == name.replace("-", "_")
        assert (config["consistency"] is None) == (name == UNDEFENDED)
        assert set(facts[MEASURED]["srocc"]) == {"CLIVE", "BIQ2021"}


def test_a_saved_model_is_readable_by_whom_new_files_are(tmp_path, models):
    (tmp_path / "new").touch()
    checkpoint.save(tmp_path / "model", models[DEFAULT])
    assert (tmp_path / "model" / checkpoint.WEIGHTS).stat().st_mode == (tmp_path / "new").stat().st_mode
