"""Pictures of what attacks add: which images, which pixels, how much amplified, and where a report shows them."""

import base64
import io
import json

import jax
import numpy as np
import pytest
from PIL import Image

import robust_iqa_jax as riqa
from robust_iqa_jax.evaluation.pictures import COUNT, Furthest, difference_picture
from robust_iqa_jax.report.files import read_report
from robust_iqa_jax.report.findings import worst_images
from robust_iqa_jax.report.page import html_report
from robust_iqa_jax.report.summarise import merge

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 1, (9, 110, 140, 3)).astype(np.float32)
WEIGHTS = RNG.normal(size=(110, 140, 3)).astype(np.float32)


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["picture"].split(",")[1]))))


def test_a_change_is_shown_as_large_as_fits():
    levels = np.zeros((2, 3, 3))
    levels[0, 1, 2], levels[1, 0, 0] = -4, 2
    picture, gain = difference_picture(levels)
    assert gain == 31  # 127 / 4
    assert picture.dtype == np.uint8
    expected = np.full((2, 3, 3), 128)
    expected[0, 1, 2], expected[1, 0, 0] = 128 - 124, 128 + 62
    np.testing.assert_array_equal(picture, expected)
    assert difference_picture(np.zeros((1, 1, 3)))[1] == 1
    np.testing.assert_array_equal(difference_picture(np.array([[[-200.0, 0, 200]]]))[0], [[[0, 128, 255]]])


@pytest.mark.parametrize("batch", [2, 9])
def test_the_images_that_moved_furthest_are_kept_whatever_the_batches(batch):
    clean = RNG.uniform(0, 1, 9)
    moved = np.array([3.0, -9, 1, 7, np.nan, -5, 8, 2, 6])
    adversarial = IMAGES + np.arange(1, 10, dtype=np.float32)[:, None, None, None] / 255
    furthest = Furthest(clean)
    for start in range(0, 9, batch):
        index = np.minimum(np.arange(start, start + batch), 8)  # the last batch repeats its last image
        furthest.see(index, (clean + moved)[index], IMAGES[index], adversarial[index])
    found = furthest.pictures()
    assert list(found) == ["1", "6", "3", "8", "5"]
    for i, picture in found.items():
        assert picture["amplified"] == 127 // (int(i) + 1)
        assert pixels(picture).shape == (96, 128, 3)
        assert (pixels(picture) == 128 + picture["amplified"] * (int(i) + 1)).all()


def test_a_report_shows_what_was_added_to_each_of_its_worst_images(tmp_path):
    attacks = [riqa.attacks.pgd(eps=eps, steps=1) for eps in (2 / 255, 4 / 255)]
    one, two = (
        riqa.evaluate(
            lambda x, s=scale: s * (x * WEIGHTS).sum((1, 2, 3)),
            IMAGES, attacks=attacks, key=jax.random.key(0), batch_size=4, model=model,
        )
        for model, scale in (("one", 1.0), ("two", -0.5))
    )  # fmt: skip
    report = merge([one, two])
    assert len(report.pictures) == 2 * len(attacks) * COUNT
    report.write(tmp_path)
    stored = json.loads((tmp_path / "perturbations.json").read_text())
    worst = worst_images(report.per_image, report.models)
    which = [tuple(row[key] for key in ("image", "model", "attack", "eps")) for row in worst]
    assert sorted(which) == sorted(tuple(row[key] for key in ("image", "model", "attack", "eps")) for row in stored)
    # 4 grey levels up or down everywhere, along the sign of the score's gradient
    middle = np.sign(WEIGHTS)[7:103, 6:134]
    for row in stored:
        shown = pixels(row).astype(int) - 128
        agree = shown * middle * (1 if row["model"] == "one" else -1)
        assert row["eps"] == pytest.approx(4 / 255)
        assert np.median(agree) == 31 * 4
    again, _ = read_report(tmp_path)
    assert again.pictures == stored
    page = html_report(again, "Pictures")
    assert len(worst) == 2 * COUNT
    assert page.count('src="data:image/png') == len(worst) + 2 * 3  # on top each model's worst, before and after too
    for row in (row for row in stored if "before" in row):
        before, after = (pixels({"picture": row[part]}).astype(int) for part in ("before", "after"))
        assert (np.abs(after - before) <= 5).all()  # rounded twice
        assert np.median(np.abs(after - before)) == 4
    assert "change of its middle, 31 times larger" in page


def test_a_file_that_holds_something_else_is_named(tmp_path):
    report = riqa.evaluate(
        lambda x: (x * WEIGHTS).sum((1, 2, 3)), IMAGES[:3], attacks=[riqa.attacks.fgsm(eps=0.01)], model="one"
    )
    report.write(tmp_path)
    (tmp_path / "perturbations.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"perturbations.json: not the pictures of a report; remove it"):
        read_report(tmp_path)
