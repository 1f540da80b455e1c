"""A report folder read again, its findings against plain numpy, its published numbers, its LaTeX."""

import dataclasses
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from small_report import HOSTILE, SCRIPT, small_report

from robust_iqa_jax.cli import main
from robust_iqa_jax.commands.evaluation import with_training_seconds
from robust_iqa_jax.report.files import read_report, write_report
from robust_iqa_jax.report.findings import (
    compressions,
    effect,
    pareto_front,
    verdicts,
    worst_images,
)
from robust_iqa_jax.report.latex import escape, latex
from robust_iqa_jax.report.published_tables import DEFENCES, POSITIONS
from robust_iqa_jax.report.table import markdown
from robust_iqa_jax.report.tables import cost, masking, published, tables
from robust_iqa_jax.report.types import AttackKind, ReportData
from robust_iqa_jax.training.metrics_log import MetricsLog

REPORT = small_report()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(folder, dataclasses.replace(REPORT, run={"seed": 3}), title="A title")
    return folder


def test_a_written_report_reads_as_it_was(folder):
    report, title = read_report(folder)
    assert title == "A title"
    assert (report.rows, report.models, report.per_image) == (REPORT.rows, REPORT.models, REPORT.per_image)
    assert report.run == {"seed": 3}


def test_what_a_report_knows_of_an_attack_is_read_again_and_its_name_is_not_asked(tmp_path):
    kinds = {"pgd-1": AttackKind("PGD", False), "stadv-10": AttackKind("AttackSuite", True)}
    write_report(tmp_path, dataclasses.replace(REPORT, attacks=kinds))
    report, _ = read_report(tmp_path)
    assert report.attacks == kinds
    assert report.one_way_attacks() == ["suite-20", "stadv-10"]
    assert {attack for _, attack in compressions(report)} == {"suite-20", "stadv-10"}


def test_seconds_that_testing_took_lie_apart_and_are_read_with_the_rest(folder, tmp_path):
    models = {name: {**facts, "test_seconds": 1.5} for name, facts in REPORT.models.items()}
    write_report(tmp_path, dataclasses.replace(REPORT, models=models, run={"seed": 3}), title="A title")
    for name in ("report.json", "report.md", "per_image.csv", "tradeoff.png"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert read_report(tmp_path)[0].models == models


def test_a_folder_of_the_first_version_reads_too(folder, tmp_path):
    stored = json.loads((folder / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps({"rows": stored["rows"], "models": stored["models"]}))
    report, _ = read_report(tmp_path)
    assert report.rows == REPORT.rows
    assert report.per_image == []


def test_photos_without_an_opinion_score_have_none(folder, tmp_path):
    rows = [{**REPORT.per_image[0], "mos": None}, REPORT.per_image[1]]
    write_report(tmp_path, dataclasses.replace(REPORT, per_image=rows))
    assert read_report(tmp_path)[0].per_image == rows


def test_attacks_in_the_older_spelling_are_read_as_they_are_spelt_now(folder, tmp_path):
    for name in ("report.json", "per_image.csv"):
        (tmp_path / name).write_text((folder / name).read_text().replace("pgd-1", "mifgsm-1"))
    report, _ = read_report(tmp_path)
    expected = {"mi-fgsm-1", "suite-20", "stadv-10", "pgd-8-change"}
    assert {row["attack"] for row in report.rows} == {row["attack"] for row in report.per_image} == expected
    assert "mi-fgsm-1" in report.models["base"]["auc"]


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("report.json", lambda text: text[:100], "not a report of riqa evaluate"),
        ("report.json", lambda text: '{"rows": []}', "not a report of riqa evaluate"),
        ("report.json", lambda text: text.replace('"abs_gain_raw"', '"raw"', 1), "row 1 has no 'abs_gain_raw'"),
        ("report.json", lambda text: text.replace('"model": "base"', '"model": "b"', 1), "row 1 is of 'b'"),
        ("report.json", lambda text: text.replace('"clean_low"', '"low"', 1), "model 'base' has no 'clean_low'"),
        ("per_image.csv", lambda text: text.replace("clean", "c", 1), "line 2 has no 'clean'"),
        ("timings.json", lambda text: "[1]", "not the seconds of a report; remove it"),
        ("per_image.csv", lambda text: text.replace(",0.0078", ",x", 1), "line 2 is not a row of per-image scores"),
    ],
)
def test_a_damaged_report_is_named_in_one_line_with_status_1(file, damage, message, folder, tmp_path, capsys):
    for name in ("report.json", "per_image.csv", "timings.json"):
        text = (folder / name).read_text() if (folder / name).exists() else "{}"
        (tmp_path / name).write_text(damage(text) if name == file else text)
    assert main(["report", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert str(tmp_path / file) in err
    assert len(err.strip().splitlines()) == 1


def test_a_folder_without_a_report_and_bad_options(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "no report.json there; give a folder that riqa evaluate or riqa quickstart wrote" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["report", str(tmp_path), "--colour", "red"])
    assert stop.value.code == 2


def test_the_effect_is_the_mean_size_of_the_gains():
    gains = {}
    for row in REPORT.per_image:
        if (row["model"], row["attack"]) == (HOSTILE, "pgd-1"):
            gains.setdefault(row["eps"], []).append(row["attacked"] - row["clean"])
    expected = np.mean([abs(np.mean(values)) for values in gains.values()])
    assert effect(REPORT.rows, HOSTILE, "pgd-1", "abs_gain_raw") == pytest.approx(expected, rel=1e-12)
    rows = [{"model": "a", "attack": "x", "g": value} for value in (0.5, -0.1, None, float("nan"))]
    assert effect(rows, "a", "x", "g") == pytest.approx(0.3)


def test_a_copy_with_half_the_range_is_all_range_compression():
    copies = {attack: r for (model, attack), r in compressions(REPORT).items() if model == "robust"}
    assert list(copies) == ["pgd-1", "suite-20", "stadv-10"]
    for r in copies.values():
        assert r.own_gain == pytest.approx(r.baseline_gain, rel=1e-12)
        assert r.share_of_reduction == pytest.approx(1, rel=1e-12)
        assert r.range_ratio == pytest.approx(0.5)


def test_the_authors_nips_numbers_are_told_as_mostly_range_compression():
    """sources.md 5: own range .931 against .825 (PGD-8), .225 against .251 (PGD-1); baseline range .290 and .088."""
    measures = ("abs_gain", "abs_gain_baseline_range")
    rows = [
        {"model": model, "attack": attack, **dict(zip(measures, values, strict=True))}
        for model, attack, values in (
            ("base", "pgd-8", (0.931, 0.931)), ("base", "pgd-1", (0.225, 0.225)),
            ("our", "pgd-8", (0.825, 0.290)), ("our", "pgd-1", (0.251, 0.088)),
        )
    ]  # fmt: skip
    many, one = verdicts(ReportData(rows, {"base": {}, "our": {"clean_range_of_baseline": 0.35}}, []))
    assert "More robust on both ranges; range compression gives 83 % of the fall" in many
    assert "More robust only on the baseline's range; range compression gives 119 % of the fall" in one


def test_the_pareto_front_is_what_nothing_dominates():
    rng = np.random.default_rng(1)
    values = np.round(rng.uniform(0, 1, (40, 2)), 1)
    points = {str(i): (float(a), float(e)) for i, (a, e) in enumerate(values)}
    better = (values[:, None, 0] >= values[None, :, 0]) & (values[:, None, 1] <= values[None, :, 1])
    equal = (values[:, None] == values[None]).all(-1)
    expected = {str(i) for i in np.flatnonzero(~(better & ~equal).any(0))}
    front = pareto_front(points)
    assert set(front) == expected
    assert 0 < len(front) < 40
    assert [points[name][0] for name in front] == sorted(points[name][0] for name in front)


def test_worst_images_are_the_largest_gains_each_image_once():
    worst = [row for row in worst_images(REPORT.per_image, REPORT.models, count=3) if row["model"] == "robust"]
    gains = {}
    for row in REPORT.per_image:
        if row["model"] == "robust":
            gains[row["image"]] = max(gains.get(row["image"], 0), abs(row["attacked"] - row["clean"]))
    assert [row["image"] for row in worst] == sorted(gains, key=lambda name: -gains[name])[:3]
    clean = [row["clean"] for row in REPORT.per_image if row["model"] == "base"]
    assert worst[0]["gain_baseline_range"] == pytest.approx(worst[0]["gain"] / np.ptp(clean))


def test_published_numbers_agree_with_the_authors_own_files():
    """SROCC and PLCC of A-Lin rs/results.csv (docs/sources.md 6.3), which the poster rounds."""
    exact = {
        "base": (0.92586, 0.93648), "NT": (0.90441, 0.92076), "AT": (0.85471, 0.87685),
        "RobustBlock 1": (0.76617, 0.79419), "RobustBlock 2": (0.79251, 0.82299),
        "RobustBlock 4": (0.85424, 0.87555), "RobustBlock 6": (0.92306, 0.93563), "Linearity": (0.92586, 0.93648),
        "Linearity + NT": (0.90441, 0.92076), "Linearity + AT": (0.85471, 0.87685),
        "Linearity + RobustBlock, pruned": (0.92095, 0.93509),
    }  # fmt: skip
    rows = {row.label: row.values for table in (POSITIONS, DEFENCES) for row in table.rows}
    for label, values in exact.items():
        np.testing.assert_allclose(rows[label][:2], values, atol=5.1e-4)
    assert all(len(row.values) == len(table.columns) for table in (POSITIONS, DEFENCES) for row in table.rows)


def test_ours_stand_beside_the_published_rows_of_their_name_only():
    table = published(DEFENCES, REPORT)
    titles = [column.title for column in table.columns]
    rows = {row[0]: row for row in table.rows}
    assert [label for label, row in rows.items() if row[1] is not None] == ["Linearity"]
    ours = rows["Linearity"]
    area = REPORT.models["base"]["auc"]["pgd-1"]["abs_gain_raw"]
    assert ours[titles.index("PGD-1 AbsGain area") + 1] == area
    stadv = next(row for row in REPORT.rows if (row["model"], row["attack"]) == ("base", "stadv-10"))
    assert ours[titles.index("stAdv AbsGain") + 1] == stadv["abs_gain_baseline_range"]
    assert ours[titles.index("UAP AbsGain") : titles.index("UAP AbsGain") + 2] == (0.465, None)
    assert set(rows["TReS"][3::2]) == {None}


def test_cost_is_shown_where_it_is_known():
    assert cost(REPORT.models).rows == ()
    table = cost({"a": {"parameters": 1200, "test_seconds": None}, "b": {"train_seconds": 61.25}})
    assert [column.title for column in table.columns] == ["model", "parameters", "train seconds"]
    assert table.texts() == [["a", "1200", "-"], ["b", "-", "61.2"]]


def test_training_time_is_the_sum_over_the_logged_steps(tmp_path):
    with MetricsLog(tmp_path, 0) as log:
        for step, seconds in enumerate((1.5, 0.25, 0.5), 1):
            log.write(step, {"loss": 1.0, "seconds": seconds})
    models = with_training_seconds({"a": {"srocc": 0.5}, "b": {}}, {"a": tmp_path, "b": tmp_path / "absent"})
    assert models == {"a": {"srocc": 0.5, "train_seconds": 2.25}, "b": {"train_seconds": None}}


def test_checks_for_masked_gradients_are_shown_where_there_are_any():
    assert masking(REPORT.models).rows == ()
    finding = {"suspicious": True, "value": 3.0, "limit": 2.0, "meaning": "gain of one step, against 20 steps"}
    table = masking({"a": {"masking": {"one step beats many": finding}}, "b": {}})
    assert table.texts() == [["a", "one step beats many", "yes", "3.0000", "2.0000", finding["meaning"]]]


def test_markdown_cells_keep_to_their_columns():
    for table in tables(REPORT):
        lines = [line for line in markdown(table) if line.startswith("|")]
        assert len(lines) == len(table.rows) + 2
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(table.columns) + 1}


def test_latex_is_balanced_and_names_are_literal(tmp_path):
    text = latex(tables(REPORT))
    bare = re.sub(r"\\[\\{}&%#$_]", "", re.sub(r"(?m)^%.*$", "", text))
    assert bare.count("{") == bare.count("}") > 100
    assert bare.count("$") % 2 == 0
    for body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end", text, re.DOTALL):
        lines = [line for line in body[1].splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(body[0]) - 1}
    assert escape(HOSTILE) == r"\textless{}b\textgreater{}\_x\$1\textbar{}\textbackslash{}\&\%\#\{"
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed: the tables are not typeset")
    (tmp_path / "report.tex").write_text(text)
    document = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}\input{report}\end{document}"
    (tmp_path / "page.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert b"Overfull" not in done.stdout


def test_report_writes_all_files_and_leaves_the_data_as_they_were(folder, capsys):
    before = (folder / "per_image.csv").read_text(), json.loads((folder / "report.json").read_text())
    assert main(["report", str(folder)]) == 0
    assert "report.html" in capsys.readouterr().out
    names = {path.name for path in folder.glob("[!.]*")}
    assert names == {"report.html", "report.tex", "report.md", "report.json", "per_image.csv", "tradeoff.png"}
    assert ((folder / "per_image.csv").read_text(), json.loads((folder / "report.json").read_text())) == before
    assert before[1]["findings"]["pareto_fronts"] == {attack: [HOSTILE] for attack in ("pgd-1", "suite-20", "stadv-10")}
    assert before[1]["findings"]["worst"]["rows"][0][:3] == [SCRIPT, "base", "suite-20"]
