"""`riqa certify`: intervals of the library's certificates, settings refused before work, photos that cannot be read."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_backbone
from PIL import Image
from skimage import data
from tiny_checkpoint import write_checkpoint

import robust_iqa_jax as riqa
from robust_iqa_jax.cli import main
from robust_iqa_jax.defenses.median_smoothing import Smoothing, certificates
from robust_iqa_jax.defenses.purifiers import Blur
from robust_iqa_jax.metrics.accuracy import srocc
from robust_iqa_jax.metrics.ranks import srocc_interval

SETTINGS = ("--sigma", "0.1", "--radius", "0.05", "--samples", "40", "--alpha", "0.1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, hardly_optimised):
    folder = tmp_path_factory.mktemp("certify")
    for name, corner in (("one", 0), ("two", 150)):
        Image.fromarray(data.astronaut()[corner : corner + 60, corner : corner + 48]).save(folder / f"{name}.png")
    (folder / "text.png").write_text("no photo")
    with tiny_backbone.registered():
        write_checkpoint(folder / "model")
        yield folder


@pytest.fixture
def run(folder, capsys):
    def run(*args):
        status = main(["certify", *map(str, args), "--checkpoint", str(folder / "model")])
        captured = capsys.readouterr()
        return status, captured.out, " ".join(captured.err.split())

    return run


@pytest.mark.parametrize("size", ["model", "own"])
def test_the_command_gives_the_certificates_of_the_library(size, folder, run):
    from robust_iqa_jax.data.images import at_size, read_pixels

    paths = [folder / "one.png", folder / "two.png"]
    status, out, _ = run(*paths, *SETTINGS, "--size", size, "--denoiser", "blur:0.5", "--json")
    assert status == 0
    rows, scorer = json.loads(out), riqa.load(folder / "model")
    for i, (row, path) in enumerate(zip(rows, paths, strict=True)):
        pixels = read_pixels(path)
        image = at_size(pixels, pixels.shape[:2] if size == "own" else scorer.spec.input_size)
        key = jax.random.fold_in(jax.random.key(0), i)
        (wanted,) = certificates(
            scorer, key, image[None], Smoothing(0.1, 0.05, 40, 0.1), denoiser=lambda x: Blur(0.5)(None, x)
        )
        assert row["image"] == str(path)
        assert [row[k] for k in ("score", "low", "high", "plain")] == pytest.approx(
            [wanted.score, wanted.low, wanted.high, wanted.plain], rel=1e-4
        )
        assert row["low"] < row["score"] < row["high"]
        assert (row["sigma"], row["radius"], row["samples"], row["alpha"]) == (0.1, 0.05, 40, 0.1)


def test_the_table_says_what_is_certified(folder, run, monkeypatch):
    monkeypatch.chdir(folder)
    status, out, _ = run("one.png", *SETTINGS)
    assert status == 0
    text = " ".join(out.split())
    assert "90 % sure of each photo: no change of l2 length 0.05 in the model's 32x32 pixels" in text
    assert "one.png" in text


def test_the_order_of_people_is_certified_where_their_scores_are_given(folder, run):
    for name, corner in (("three", 80), ("four", 200)):
        Image.fromarray(data.astronaut()[corner : corner + 60, :48]).save(folder / f"{name}.png")
    people = {"one": 1, "two": 2, "three": 4, "four": 3}
    table = folder / "people.csv"
    table.write_text("image,mos\n" + "".join(f"{name}.png,{score}\n" for name, score in people.items()))
    photos = [folder / f"{name}.png" for name in people]
    status, out, _ = run(*photos, *SETTINGS, "--data", table, "--json")
    rows = json.loads(out)
    assert (status, [row["mos"] for row in rows]) == (0, [1, 2, 4, 3])
    status, out, _ = run(*photos, *SETTINGS, "--data", table)
    score, low, high, mos = (np.array([row[name] for row in rows]) for name in ("score", "low", "high", "mos"))
    least, most = srocc_interval(low, high, mos)
    said = (
        f"SROCC with people {srocc(score, mos):.3f} over 4 photos; scores in their intervals: between {least:.3f} and"
    )
    assert f"{said} {most:.3f}" in " ".join(out.split())
    table.write_text("image,mos\none.png,1\n")
    status, _, err = run(*photos, *SETTINGS, "--data", table)
    assert status == 1
    assert f"--data {table}: has no row of two.png; drop the photo, or the option" in err
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "one.png").write_bytes(photos[0].read_bytes())
    table.write_text("image,mos\na/one.png,1\nb/one.png,9\n")
    status, _, err = run(photos[0], *SETTINGS, "--data", table)
    assert (status, "has 2 photos called one.png; give a table of one folder" in " ".join(err.split())) == (1, True)


def test_a_photo_that_cannot_be_read_is_named_and_the_others_are_certified(folder, run):
    status, out, err = run(folder / "one.png", folder / "text.png", *SETTINGS, "--json")
    assert status == 1
    assert len(json.loads(out)) == 1
    assert "text.png" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--radius", "0.5"), "certify: 1000 samples bound nothing at a radius of 4.17 sigma; take"),
        (("--sigma", "0"), "certify: sigma in [0, 1] pixels must be above 0"),
        (("--denoiser", "blurr"), "unknown defense 'blurr'; did you mean blur"),
        (("--denoiser", "noise"), "--denoiser noise draws; give one that does not"),
        (("--norm", "linf"), "certify: --norm linf: noise certifies l2 changes; give --exact"),
        (("--exact", "--sigma", "0.2"), "certify: --sigma is of the noise, and --exact has none"),
        (("--exact", "--norm", "linf", "--radius", "4"), "certify: --radius: eps is in [0, 1] pixel units, got 4"),
        (("--samples", "many"), "--samples many: give a whole number"),
    ],
)
def test_settings_of_no_use_end_before_any_work(options, message, folder, run, monkeypatch):
    monkeypatch.setattr("robust_iqa_jax.models.checkpoint.load", lambda _: pytest.fail("a model was loaded"))
    try:
        status, _, err = run(folder / "one.png", *options)
    except SystemExit as end:
        status, err = end.code, None
    assert status == 2
    assert err is None or message in err


def test_a_model_without_a_closed_form_is_refused_by_name(folder, run):
    status, _, err = run(folder / "one.png", "--exact")
    assert status == 1
    assert "guarantee: only LipschitzIQA has a closed form, not linearity" in err


def test_the_closed_form_of_a_lipschitz_model(folder, capsys, monkeypatch):
    from robust_iqa_jax.evaluation.guarantee import guaranteed_change
    from robust_iqa_jax.models import checkpoint, lipschitz
    from robust_iqa_jax.models.registry import init
    from robust_iqa_jax.models.scorer import Calibration, Scorer
    from robust_iqa_jax.models.spec import ModelSpec

    monkeypatch.setattr(lipschitz, "WIDTHS", (50,))
    monkeypatch.setattr(lipschitz, "CONVOLUTIONS", 1)
    spec = ModelSpec("lipschitz", "none", (), (16, 16))
    scorer = Scorer(jax.jit(lambda key: init(spec, key))(jax.random.key(0)), Calibration.identity(), spec)
    checkpoint.save(folder / "lipschitz", scorer)
    args = [str(folder / "one.png"), "--exact", "--norm", "linf", "--radius", "4/255"]
    assert main(["certify", *args, "--checkpoint", str(folder / "lipschitz"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    change = guaranteed_change(scorer, 4 / 255)
    assert (row["high"] - row["score"], row["score"] - row["low"]) == pytest.approx((change, change), rel=1e-4)
    assert (row["norm"], row["score"]) == ("linf", row["plain"])


def test_smoothed_scores_of_a_photo_are_finite_and_close_to_each_other(folder):
    scorer = riqa.load(folder / "model")
    image = jnp.asarray(np.full((1, 32, 32, 3), 0.5, np.float32))
    (certificate,) = certificates(scorer, jax.random.key(0), image, Smoothing(0.01, 0.005, 100, 0.1))
    assert certificate.score == pytest.approx(certificate.plain, abs=5 * (certificate.high - certificate.low))
