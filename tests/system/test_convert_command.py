"""`riqa convert` and where `riqa prune` writes: what was taken is said, nothing is lost, no checkpoint scores NaN."""

import json
import resource
import signal

import numpy as np
import pytest
from own_names import state_dict
from safetensors.numpy import save_file

from robust_iqa_jax.cli import main
from robust_iqa_jax.commands.checkpoint_output import check_output
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.presets import PRESETS
from robust_iqa_jax.models.releases import convert, releases
from robust_iqa_jax.models.spec import ModelSpec

pytestmark = pytest.mark.usefixtures("tiny")
SPEC = ModelSpec("linearity", "tiny_basic", ("layer1", "layer2"), (64, 64))  # pyright: ignore[reportArgumentType]


@pytest.fixture(autouse=True)
def model(monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", SPEC)


@pytest.fixture(scope="module")
def tensors(tiny):
    """LinearityIQA's names and layout."""
    return state_dict(SPEC, releases(SPEC)[0])


def file(folder, tensors, name="weights.safetensors"):
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, folder / name)
    return folder / name


def run(capsys, *args):
    status = main(["convert", *map(str, args), "--model", "tiny"])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return status, captured.out, captured.err


def report_of(capsys, *args):
    status, out, err = run(capsys, *args, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def test_a_rescale_among_the_weights_is_taken_and_a_missing_one_is_said(tensors, tmp_path, capsys):
    numbers = {"k": np.float32([9.5, 1, 1]), "b": np.float32([40, 0, 0]), "min": np.float32([3]), "max": np.float32(90)}
    report = report_of(capsys, file(tmp_path, {**tensors, **numbers}), tmp_path / "a")
    assert report["calibration"] == {"slope": 9.5, "intercept": 40, "low": 3, "high": 90}
    assert not report["notes"]
    assert vars(checkpoint.load(tmp_path / "a").calibration) == report["calibration"]
    report = report_of(capsys, file(tmp_path, tensors), tmp_path / "b")
    assert report["calibration"] == {"slope": 1, "intercept": 0, "low": 0, "high": 100}
    assert report["notes"] == [
        "the file has no k and b, LinearityIQA's rescale: scores are the network's outputs; "
        "give --slope and --intercept for opinion scores"
    ]
    status, out, _ = run(capsys, file(tmp_path, tensors), tmp_path / "c")
    assert (status, "note: the file has no k and b" in " ".join(out.split())) == (0, True)
    assert not report_of(capsys, file(tmp_path, tensors), tmp_path / "d", "--slope", 2, "--intercept", 1)["notes"]


@pytest.mark.parametrize("prefix", ["net.", "model.", "lit.net.", "model.net.backbone."])
def test_names_behind_a_frameworks_own_attribute_are_found(tensors, prefix, tmp_path, capsys):
    named = {prefix + name: value for name, value in tensors.items()}
    beside = {"criterion.weight": np.float32([1])}
    report = report_of(capsys, file(tmp_path, {**named, **beside} if prefix != "model." else named), tmp_path / "out")
    assert len(report["used"]) == len(tensors)
    expected = convert(tensors, SPEC)[0]
    np.testing.assert_array_equal(
        checkpoint.load(tmp_path / "out").variables["params"]["head"]["score"]["dense"]["kernel"],
        expected["params"]["head"]["score"]["dense"]["kernel"],
    )
    if prefix != "model.":
        assert (report["prefix"], report["outside"]) == (prefix, ["criterion.weight"])
        assert any("left out" in note and "criterion.weight" in note for note in report["notes"])


@pytest.mark.parametrize("plain", ["", "net.", "model."])
def test_averaged_weights_beside_plain_ones_are_said_and_can_be_chosen(tensors, plain, tmp_path, capsys):
    both = {plain + n: v for n, v in tensors.items()} | {f"ema_net.{n}": v + 0.5 for n, v in tensors.items()}
    path = file(tmp_path, both)
    report = report_of(capsys, path, tmp_path / "plain")
    assert any("--entry ema_net takes those" in note for note in report["notes"])
    report_of(capsys, path, tmp_path / "averaged", "--entry", "ema_net")
    one, two = (
        checkpoint.load(tmp_path / name).variables["params"]["head"]["score"]["dense"]["bias"]
        for name in ("plain", "averaged")
    )
    np.testing.assert_allclose(two - one, 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("features.1.running_var", -1e-3, "1 negative variances: features.1.running_var"),
        ("features.1.running_var", np.nan, "1 not finite: features.1.running_var"),
        ("regression.bias", np.inf, "1 not finite: regression.bias"),
    ],
)
def test_weights_that_would_score_nan_are_refused(tensors, name, value, message, tmp_path, capsys):
    broken = {**tensors, name: np.full_like(tensors[name], value)}
    status, _, err = run(capsys, file(tmp_path, broken), tmp_path / "out", "--allow-missing")
    assert (status, err.count("\n"), message in err) == (1, 1, True)
    assert not (tmp_path / "out").exists()
    zeros = {name: np.zeros_like(value) if name.endswith("running_var") else value for name, value in tensors.items()}
    assert report_of(capsys, file(tmp_path, zeros), tmp_path / "zeros")["negative"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--slope", "1e39"), "slope is 1e+39; a calibration must be finite"),
        (("--high=-1e60",), "high is -1e+60; a calibration must be finite"),
        (("--slope", "0"), "slope 0 gives all photos the same score"),
        (("--low", "5", "--high", "5"), "low 5 is not below high 5"),
        (("--entry", "ema"), "unknown entry 'ema'; "),
    ],
)
def test_calibrations_that_mean_nothing_are_refused(tensors, options, message, tmp_path, capsys):
    status, _, err = run(capsys, file(tmp_path, tensors), tmp_path / "out", *options)
    assert (status, err.count("\n"), message in err) == (1, 1, True)
    assert not (tmp_path / "out").exists()


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_that_is_read_or_not_ours_is_replaced(tensors, tmp_path, capsys):
    hub, taken = tmp_path / "hub", tmp_path / "taken"
    hub.mkdir()
    source = file(hub, tensors, "model.safetensors")
    taken.mkdir()
    (taken / "model.json").write_text("{}")
    link = tmp_path / "link"
    link.symlink_to(hub)
    before = contents(tmp_path)
    for given, out, message in (
        (source, hub, "holds the checkpoint that is converted"),
        (source, link, "holds the checkpoint that is converted"),
        (hub, hub, "holds the checkpoint that is converted"),
        (source, source, "is a file; give a folder"),
        (source, source / "x", f"{source} is a file; give a folder"),
        (source, taken, "model.json there was not written by this command"),
    ):
        status, out_text, err = run(capsys, given, out)
        assert (status, out_text, err.count("\n"), message in err) == (1, "", 1, True), err
        assert contents(tmp_path) == before
    assert run(capsys, source, hub / "converted")[0] == 0
    assert run(capsys, source, hub / "converted")[0] == 0  # its own, again
    with pytest.raises(ValueError, match=r"model\.json there was not written by this command"):
        check_output(hub / "converted", [source], "pruning")
    status, _, err = run(capsys, hub / "converted", tmp_path / "again")
    assert (status, "is a checkpoint of riqa already; there is nothing to convert" in err) == (1, True)


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tensors, tmp_path, capsys):
    source = file(tmp_path, tensors)
    assert run(capsys, source, tmp_path / "old")[0] == 0
    scorer, before = checkpoint.load(tmp_path / "old"), contents(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # files end after 4096 bytes, as on a full disk
        for out in ("new", "old"):
            status, _, err = run(capsys, source, tmp_path / out)
            assert (status, err.count("\n")) == (1, 1)
            assert f"{tmp_path / out}: the model cannot be written (" in err
            assert "free some space" in err
        with pytest.raises(OSError, match=r"new: the model cannot be written \(.*\); free some space"):
            checkpoint.save(tmp_path / "new", scorer, {"pruning": {}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert contents(tmp_path) == before
    assert not (tmp_path / "new").exists()
