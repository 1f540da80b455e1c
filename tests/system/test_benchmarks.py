"""The spectral benchmarks on a small shape: exact rows, what their files hold, and one line for a wrong name."""

import dataclasses
import json

import photo_tables
import pytest
import tiny_backbone

from robust_iqa_jax.benchmarks import accelerator, fft_core, growth, robust_block, roofline, solvers, training
from robust_iqa_jax.benchmarks.rows import Output
from robust_iqa_jax.cli import main

pytestmark = pytest.mark.usefixtures("hardly_optimised")

KEYS = {"case", "impl", "batch", "pass", "median_s", "spread_s", "compile_s", "peak_bytes", "flops", "bytes", "rel_err"}


@pytest.mark.parametrize(
    "impls",
    [
        pytest.param(("factored", "conv2d"), marks=pytest.mark.slow),
        pytest.param(("factored", "bcop"), marks=pytest.mark.slow),
        pytest.param(("factored", "explicit-q", "exponential", *robust_block.LAYERS), marks=pytest.mark.slow),
    ],
)
def test_robust_block_rows_are_exact_and_stored(impls, tmp_path):
    output = Output(json=tmp_path / "rows.json", results=tmp_path / "results")
    robust_block.main(robust_block.Args(("small",), (2,), impls, repeats=2, output=output))
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [(row["impl"], row["pass"]) for row in rows[:4]] == [
        ("factored", "forward"),
        ("factored", "forward+backward"),
        ("factored", "cached"),
        (impls[1], "forward"),
    ]
    for row in rows:
        assert set(row) == {*KEYS, "isometry_err"}
        assert row["median_s"] > 0
        if row["impl"] in (*robust_block.CAYLEY, *robust_block.LAYERS):
            assert row["rel_err"] <= 1e-5
        if row["pass"] != "forward+backward":
            assert (row["isometry_err"] < 1e-5) == (row["impl"] not in ("conv2d", "aol", "sll"))
    (table,) = (tmp_path / "results").glob("*_robust_block.md")
    assert table.read_text().count("| small |") == len(rows)
    assert "GFLOP/s (float32 matmul)" in table.read_text()


@pytest.mark.slow
def test_torch_rows_give_the_same_map_and_gradient():
    pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    rows = robust_block.main(robust_block.Args(("small",), (2,), ("torch-explicit-q",), torch_repeats=1))
    assert [row.pass_ for row in rows] == ["forward", "forward+backward"]
    assert all(row.rel_err is not None and row.rel_err <= 1e-5 for row in rows)


@pytest.mark.slow
def test_roofline_rows_hold_all_heavy_work_of_a_step():
    rows = roofline.main(roofline.Args(("small",), (2,), repeats=1))
    for pass_ in ("forward", "forward+backward"):
        *parts, heavy, whole = [row for row in rows if row.pass_ == pass_]
        assert (heavy.impl, whole.impl) == ("heavy parts", "whole")
        assert heavy.bytes == whole.bytes == sum(part.bytes for part in parts)
        assert 0 < heavy.flops < whole.flops  # the rest are element-wise operations
        assert "1 x ab,bc 45x13 · 13x144" in [part.impl for part in parts]  # frequencies, lags, 12 x 12 systems


@pytest.mark.slow
def test_solver_rows_show_what_each_approximation_loses():
    rows = {row.impl: row for row in solvers.main(solvers.Args(("small",), repeats=1))}
    for name in ("block", "newton_schulz", "newton_schulz_warm", "lu"):
        assert rows[f"inverse:{name}"].rel_err <= 1e-5
    assert rows["exact-conv"].isometry_err <= 1e-6
    assert rows["band-limited-0.5-conv"].isometry_err <= 1e-6 < 1e-2 < rows["band-limited-0.5-conv"].rel_err
    assert rows["bfloat16-newton-schulz-10-conv"].isometry_err > 1e-5


@pytest.mark.slow
def test_fft_core_sweeps_and_plots(tmp_path):
    rows = fft_core.main(fft_core.Args(("small",), (1,), sides=(4,), channels=(3,), repeats=1, plots=tmp_path))
    assert {row.impl for row in rows} >= {"system", "inverse", "product", "circular conv", "rfft2:fft", "irfft2:matmul"}
    assert all(row.rel_err <= 1e-5 for row in rows if row.rel_err is not None)
    assert {path.name for path in tmp_path.glob("[!.]*")} == {"dft2_sides.png", "dft2_channels.png"}


@pytest.mark.slow
def test_the_accelerators_script_writes_its_summary_into_a_readme(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{accelerator.BEGIN}\nold\n{accelerator.END}\nafter\n")
    args = accelerator.Args(("products", "transforms"), small=True, readme=readme)
    rows = accelerator.main(args)
    errors = {row.impl: row.rel_err for row in rows}
    assert errors["highest"] < 1e-5 < errors["bfloat16"]
    text = readme.read_text()
    assert text.startswith(f"before\n{accelerator.BEGIN}\n")
    assert text.endswith(f"{accelerator.END}\nafter\n")
    assert "| products: side 16 | 1 | forward |" in text
    assert "old" not in text
    assert accelerator.main(dataclasses.replace(args, minutes=-1, readme=None)) == []
    readme.write_text("nothing")
    with pytest.raises(ValueError, match="no lines <!-- accelerator: begin --> and"):
        accelerator.main(args)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_accelerators_script_runs_every_part():
    rows = accelerator.main(accelerator.Args(small=True))
    assert {row.case.split(":")[0] for row in rows} == set(accelerator.PARTS)


@pytest.mark.slow
def test_growth_is_fitted_and_drawn(tmp_path, capsys):
    args = growth.Args((4, 6), (2, 4), (1, 2), (4, 2, 1), ("bcop", "conv2d"), repeats=1, plots=tmp_path)
    rows = growth.main(args)
    assert len(rows) == 12
    assert (tmp_path / "growth.png").is_file()
    assert "conv2d grows with the batch as time ^" in capsys.readouterr().out
    twice = [dataclasses.replace(rows[0], impl="bcop", batch=n, median_s=n**1.5) for n in (1, 2, 4)]
    slopes = growth.exponents(args, {"batch": twice})
    assert slopes["batch", "bcop"]["time"] == pytest.approx(1.5)


@pytest.mark.slow
def test_parts_of_a_training_step_are_those_of_the_run(tmp_path, capsys):
    table = photo_tables.write_photo_table(tmp_path, count=8, side=40)
    (tmp_path / "run.py").write_text(
        "from robust_iqa_jax.models.spec import ModelSpec\n"
        "from robust_iqa_jax.training.config import TrainConfig\n"
        "def get_config():\n"
        "    model = ModelSpec(backbone='tiny', taps=('first', 'second'), input_size=(32, 32))\n"
        "    return TrainConfig(name='tiny', model=model, batch_size=2)\n"
    )
    with tiny_backbone.registered():
        rows = training.main(training.Args(str(tmp_path / "run.py"), data=str(table), repeats=1))
    flops = {row.impl: row.flops for row in rows}
    assert list(flops) == [
        *("input, first epoch", "input, from memory", "loss", "loss and gradient", "optimiser", "step")
    ]
    assert flops["loss"] < flops["loss and gradient"] <= flops["step"]
    # 3x3 kernels 3 -> 6 -> 8 without biases make most of the loss: 2 photos, 16 x 16 and 8 x 8 pixels
    assert flops["loss"] >= 2 * 2 * 9 * (16**2 * 3 * 6 + 8**2 * 6 * 8)
    assert "MB of gradients" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["robust_block", "--case", "position9"], "--case position9: unknown; choose among position1, position2"),
        (["robust_block", "--case", "29x200"], "or describe it, as in 29x200x1024"),
        (["growth", "--impl", "svd"], "--impl svd: unknown; choose among cayley, bcop"),
        (["robust_block", "--impl", "svd"], "--impl svd: unknown; choose among factored, explicit-q"),
        (["solvers", "--case", "x"], "--case x: unknown"),
    ],
)
def test_wrong_names_get_one_line(args, message, capsys):
    assert main(["bench", *args]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def test_unknown_benchmark_lists_those_that_exist(capsys):
    assert main(["bench", "everything"]) == 2
    error = capsys.readouterr().err
    assert "unknown benchmark 'everything'" in error
    assert all(name in error for name in ("robust_block", "fft_core", "solvers"))
