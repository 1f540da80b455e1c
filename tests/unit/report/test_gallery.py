"""What notebooks show: the gallery, a report's figure, data frame and answer, and how far an evaluation is."""

import sys

import numpy as np
import pytest
from small_report import HOSTILE, small_report
from small_score import images, score

import robust_iqa_jax as riqa
from robust_iqa_jax.extras import MissingExtra
from robust_iqa_jax.report.answer import recommendation


def texts(figure):
    figure.draw_without_rendering()
    return [axes.title for axes in figure.axes]


def pair(count=2):
    clean = np.random.default_rng(0).uniform(0.2, 0.8, (count, 24, 32, 3)).astype(np.float32)
    return clean, clean + np.float32(4 / 255) * np.sign(clean - 0.5)


def test_a_line_of_the_gallery_has_the_photo_the_attacked_one_and_the_change():
    clean, attacked = pair()
    figure = riqa.gallery(clean, attacked, ([10.0, 123.456], [95.5, 99.0]))
    shown = [axes.images[0].get_array() for axes in figure.axes]
    np.testing.assert_allclose(shown[3], clean[1], atol=1e-6)
    np.testing.assert_allclose(shown[4], attacked[1], atol=1e-6)
    np.testing.assert_allclose(shown[5], (128 + 31 * 255 * (attacked[1] - clean[1])) / 255, atol=1e-2)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[3:] == ["original 123.5", "attacked 99", "-24.5; change x 31"]
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_no_two_labels_of_the_gallery_overlap():
    clean, attacked = pair(3)
    figure = riqa.gallery(clean, attacked, (np.full(3, -1234.5678), np.full(3, -0.00012345)))
    boxes = [text.get_window_extent() for text in texts(figure)]
    axes = [each.get_window_extent() for each in figure.axes]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in (*boxes[i + 1 :], *axes)), i
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


def test_the_gallery_takes_grey_photos_and_none_that_differ():
    clean, attacked = pair()
    assert len(riqa.gallery(clean[..., :1], attacked[..., :1]).axes) == 6
    with pytest.raises(
        ValueError, match=r"gallery: the same photos .* got shapes \(2, 24, 32, 3\) and \(1, 24, 32, 3\)"
    ):
        riqa.gallery(clean, attacked[:1])
    with pytest.raises(ValueError, match="gallery: scores are a pair"):
        riqa.gallery(clean, attacked, score)
    with pytest.raises(ValueError, match=r"one float a photo, an array of shape \(2,\); got shape \(3,\)"):
        riqa.gallery(clean, attacked, (np.zeros(3), np.zeros(2)))


def test_a_report_shows_its_figure_and_its_answer():
    report = small_report()
    figure = report.plot()
    assert len(figure.axes) == 2 * len(report.one_way_attacks())
    page = report._repr_html_()
    assert "<b>_x" not in page, "names are escaped"
    for text in ("worst gain", "&lt;b&gt;_x$1", "in words"):
        assert text in page
    assert HOSTILE in report.models
    assert len(recommendation(report)) >= 1


def test_a_report_is_a_data_frame_or_says_what_is_missing(monkeypatch):
    pytest.importorskip("pandas")
    report = small_report()
    frame = report.to_pandas()
    assert frame["abs_gain"].tolist() == [row["abs_gain"] for row in report.rows]
    assert len(report.to_pandas(per_image=True)) == len(report.per_image)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"^to_pandas: .* pandas is not installed; .*\[notebook\]'$"):
        report.to_pandas()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name, call in (("plot", report.plot), ("gallery", lambda: riqa.gallery(images(1), images(1)))):
        with pytest.raises(MissingExtra, match=rf"^{name}: .* matplotlib is not installed; .*\[plots\]'$"):
            call()


def test_progress_counts_the_attacked_images_on_one_line_of_standard_error(capsys):
    seen = []
    attacks = ["fgsm", "uniform-noise"]
    riqa.evaluate(score, images(3), attacks, batch_size=2, progress=True, on_batch=seen.append)
    out, err = capsys.readouterr()
    assert out == ""
    assert sum(seen) == 6
    assert err.count("\n") == 1
    assert err.rstrip().split("\r")[-1].startswith("evaluate: 6 of 6 images attacked, ")
    riqa.evaluate(score, images(3), attacks[:1])
    assert capsys.readouterr().err == ""
