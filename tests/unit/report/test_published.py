"""Others' tables read into our rows, and from rows made by hand to a report whose every number is known."""

import numpy as np
import pytest

from robust_iqa_jax.metrics.bootstrap import paired_bootstrap_test
from robust_iqa_jax.metrics.robustness import RAW, gains
from robust_iqa_jax.report.per_image import aligned, by_case
from robust_iqa_jax.report.published import read_authors, read_msu
from robust_iqa_jax.report.summarise import report_of

A_LIN = ",image_name,clear_val,attacked_val_eps=2,attacked_val_eps=10\n0,a.png,50,60,70\n1,b.png,40,40,39.5\n"
A_KON = "origin_preds,orig_preds_scaled,preds_eps=2.0,preds_scaled=2.0\n50,.5,60,.6\n40,.4,41,.41\n"
MSU = (
    "image_name,train_dataset,test_dataset,clear,attacked,amplitude,rel_gain,psnr,ssim,mse\n"
    "a.png,COCO,NIPS,0.5,0.6,0.2,1.2,36.8,0.99,0.0002\n"
    "a.png,COCO,NIPS,0.5,0.7,0.4,1.4,30.8,0.97,0.0008\n"
    "a.png,COCO,DERF,0.1,0.9,0.4,9,30.8,0.97,0.0008\n"
)
MSU_PLAIN = "image_name,test_dataset,clear,attacked,rel_gain,psnr,ssim,mse\na.png,NIPS,0.5,0.6,1.2,36,0.9,0.0002\n"


def row(image, attack, eps, clean, attacked, model="m"):
    return {"image": image, "model": model, "attack": attack, "eps": eps, "clean": clean, "attacked": attacked}


@pytest.fixture
def table(tmp_path):
    def write(text):
        (tmp_path / "t.csv").write_text(text)
        return tmp_path / "t.csv"

    return write


def test_authors_tables(table):
    assert read_authors(table(A_LIN), model="m", attack="pgd-1") == [
        row("a.png", "pgd-1", 2 / 255, 50, 60),
        row("b.png", "pgd-1", 2 / 255, 40, 40),
        row("a.png", "pgd-1", 10 / 255, 50, 70),
        row("b.png", "pgd-1", 10 / 255, 40, 39.5),
    ]
    assert read_authors(table(A_KON), model="m", attack="p") == [
        row("0", "p", 2 / 255, 50, 60),
        row("1", "p", 2 / 255, 40, 41),
    ]


def test_msu_tables(table):
    found = read_msu(table(MSU), model="m", attack="uap", test_dataset="NIPS")
    assert found == [row("a.png", "uap", 0.1 * 0.2, 0.5, 0.6), row("a.png", "uap", 0.1 * 0.4, 0.5, 0.7)]
    plain = read_msu(table(MSU_PLAIN), model="m", attack="ifgsm", eps=10 / 255)
    assert plain == [row("a.png", "ifgsm", 10 / 255, 0.5, 0.6)]
    assert read_msu(table(MSU_PLAIN), model="m", attack="madc")[0]["eps"] is None


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_authors, A_LIN.replace("clear_val", "clear"), "a column clear_val or origin_preds and columns"),
        (read_authors, A_LIN.replace("39.5", ""), "line 3: attacked_val_eps=10 must be a finite number, got ''"),
        (read_authors, A_LIN.split("\n")[0], "no rows"),
        (read_msu, MSU, "choose test_dataset among DERF, NIPS, got None"),
        (read_msu, MSU_PLAIN.replace("clear", "clean"), "no columns clear"),
        (read_msu, MSU_PLAIN.replace("0.6", "inf"), "line 2: attacked must be a finite number, got 'inf'"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(table, read, text, message):
    with pytest.raises(ValueError, match=message):
        read(table(text), model="m", attack="a")


def test_choices_that_a_table_does_not_offer_are_refused(table):
    with pytest.raises(ValueError, match="choose train_dataset among none, got 'VOC'"):
        read_msu(table(MSU_PLAIN), model="m", attack="a", train_dataset="VOC")
    with pytest.raises(ValueError, match=r"eps is 0\.1 times the column amplitude here"):
        read_msu(table(MSU), model="m", attack="a", test_dataset="NIPS", eps=0.1)


# From per-image rows made by hand, every metric equals an independent calculation.
RNG = np.random.default_rng(8)
N = 25
MOS = RNG.uniform(0, 100, N)
CLEAN = {"base": MOS + RNG.normal(0, 9, N), "defended": 40 + 0.2 * MOS + RNG.normal(0, 2, N)}
EPS = (2 / 255, 4 / 255, 10 / 255)
MOVED = {(m, e): CLEAN[m] + RNG.normal(900 * e * (0.1 if m == "defended" else 1), 4, N) for m in CLEAN for e in EPS}


def hand_made_rows():
    rows = []
    for (model, eps), attacked in MOVED.items():
        for i in RNG.permutation(N):  # every case in its own order
            found = row(f"{i}.png", "pgd", eps, CLEAN[model][i], attacked[i], model)
            rows.append({**found, "mos": MOS[i]})
    return rows


def expected_row(model, eps):
    c, a = CLEAN[model], MOVED[model, eps]
    span, base_span = np.ptp(c), np.ptp(CLEAN["base"])
    own, base = (c - c.min()) / span, (c - CLEAN["base"].min()) / base_span
    grid = np.sort(np.concatenate([c, a]))
    gap = np.array([(c <= x).mean() - (a <= x).mean() for x in grid[:-1]])
    area, energy = (np.abs(gap) * np.diff(grid)).sum(), np.sqrt(2 * (gap**2 * np.diff(grid)).sum())
    flips = [(c[i] - c[j]) * (a[i] - a[j]) < 0 for i in range(N) for j in range(i)]
    rank = lambda v: v.argsort().argsort()  # noqa: E731
    return {
        "srocc": np.corrcoef(rank(c), rank(MOS))[0, 1],
        "plcc": np.corrcoef(c, MOS)[0, 1],
        "rmse": np.sqrt(((c - MOS) ** 2).mean()),
        "abs_gain": (a - c).mean() / span,
        "abs_gain_baseline_range": (a - c).mean() / base_span,
        "abs_gain_raw": (a - c).mean(),
        "relative_gain": ((a - c) / span / (own + 1)).mean(),
        "rscore": np.log10(np.maximum(1 - own, own) / (np.abs(a - c) / span + 1e-6)).mean(),
        "rscore_baseline_range": np.log10(np.maximum(1 - base, base) / (np.abs(a - c) / base_span + 1e-6)).mean(),
        "wasserstein": area / span,
        "wasserstein_baseline_range": area / base_span,
        "wasserstein_raw": area,
        "energy_distance": energy / np.sqrt(span),
        "energy_distance_baseline_range": energy / np.sqrt(base_span),
        "energy_distance_raw": energy,
        "rank_inversion_rate": np.mean(flips),
        "srocc_under_attack": np.corrcoef(rank(a), rank(MOS))[0, 1],
    }


def test_every_metric_of_rows_made_by_hand_equals_an_independent_calculation():
    report = report_of(hand_made_rows(), baseline="base")
    assert [(r["model"], r["eps"]) for r in report.rows] == [(m, e) for m in CLEAN for e in EPS]
    for found in report.rows:
        expected = expected_row(found["model"], found["eps"])
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-10)
    for model in CLEAN:
        facts = report.models[model]
        lines = [expected_row(model, eps) for eps in EPS]
        for name, area in facts["auc"]["pgd"].items():
            y = [line[name] for line in lines]
            expected = (y[0] + y[1]) / 2 * 2 / 255 + (y[1] + y[2]) / 2 * 6 / 255
            assert area == pytest.approx(expected, rel=1e-10)
        assert facts["auc_grid"]["pgd"] == {"eps": list(EPS), "spacing": None}


def test_paired_comparison_of_two_models_matches_images_by_name():
    cases = by_case(hand_made_rows())
    base, defended = (cases[m, "pgd", EPS[0]] for m in CLEAN)
    assert base.images != defended.images
    defended = aligned(base, defended)
    found = paired_bootstrap_test(gains(base.clean, base.attacked, RAW), gains(defended.clean, defended.attacked, RAW))
    expected = (MOVED["base", EPS[0]] - CLEAN["base"] - MOVED["defended", EPS[0]] + CLEAN["defended"]).mean()
    assert found.difference.estimate == pytest.approx(expected, rel=1e-10)


def test_rows_that_do_not_belong_together_are_refused():
    rows = hand_made_rows()
    with pytest.raises(ValueError, match="comes twice for base under pgd"):
        by_case([*rows, rows[0]])
    with pytest.raises(ValueError, match="1 images are in one of the two only"):
        report_of(rows[1:])
    with pytest.raises(ValueError, match="no rows of the baseline 'x'; models: base, defended"):
        report_of(rows, baseline="x")
    with pytest.raises(ValueError, match="base has other clean scores under pgd"):
        report_of([{**rows[0], "clean": 0.0}, *rows[1:]])


def test_the_authors_tables_make_a_report(shared_data):
    # docs/sources.md 6.5: mean raw gains on 1,000 NIPS images, eps 2..10, and the clean range
    published = {
        ("base", "pgd-1"): [13.38, 10.36, 6.72, 3.42, 0.49],
        ("base", "pgd-8"): [55.4, 57.9, 52.3, 45.2, 38.6],
        ("RobustBlock", "pgd-1"): [5.24, 3.56, 1.69, 0.05, -1.39],
        ("RobustBlock", "pgd-8"): [17.3, 17.2, 15.1, 12.8, 10.9],
    }
    folder, rows = shared_data / "authors_results", []
    for model, attack in published:
        name = "" if model == "base" else "cayley_pool+0.1_l2+"
        path = folder / f"NIPS_resnet101+{name}relu_PGD={attack[-1]}.csv"
        rows += read_authors(path, model=model, attack=attack)
    report = report_of(rows, baseline="base")
    for (model, attack), expected in published.items():
        raw = [r["abs_gain_raw"] for r in report.rows if (r["model"], r["attack"]) == (model, attack)]
        np.testing.assert_allclose(raw, expected, atol=0.06 if attack == "pgd-8" else 6e-3)
    assert (report.models["base"]["clean_low"], report.models["base"]["clean_high"]) == pytest.approx(
        (36.80, 96.27), abs=5e-3
    )
    assert report.models["base"]["auc_grid"]["pgd-1"]["spacing"] == pytest.approx(2 / 255)
    assert len(report.per_image) == 4 * 5 * 1000
