"""MUSIQ: every map and score of an independent PyTorch network, at any size, in both precisions; names of the published
files; blocks on the grids of all scales; attacks on the photo's own pixels."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from photo_tables import write_photo_table
from quick_models import quick_jit, random_variables, shapes

from robust_iqa_jax import attacks
from robust_iqa_jax.cli import main
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.musiq import (
    GRID,
    MUSIQ,
    VARIANTS,
    BlockPerScale,
    hashed_positions,
    insertion_points,
)
from robust_iqa_jax.models.presets import PRESETS, preset
from robust_iqa_jax.models.registry import build, init_pretrained, normalise
from robust_iqa_jax.models.releases import convert
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec

SMALL = VARIANTS["musiq_test"]
WIDTHS = {name: getattr(SMALL, name) for name in ("stem", "channels", "layers", "heads", "hidden")}
ODD = (70, 131)
"""No side is a multiple of the patch: grids of 3 x 5, and of copies 34 x 64 and 53 x 100, of 2 x 2 and 2 x 4."""


def spec(size=ODD, **fields):
    return ModelSpec("musiq", "musiq_test", (), size, **fields)


@pytest.fixture(scope="module")
def torch_musiq():
    pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity import torch_musiq

    return torch_musiq


@pytest.fixture(scope="module")
def published(torch_musiq):
    return torch_musiq.random_tensors(torch_musiq.published_shapes(**WIDTHS))


def expected_maps(torch_musiq, tensors, images, copies=SMALL.copies):
    import torch

    network = torch_musiq.TorchMUSIQ(tensors, copies)
    maps = [network(torch.from_numpy(image)) for image in images]
    return {name: np.stack([one[name].numpy() for one in maps]) for name in maps[0]}


def joined(maps, name, scales):
    """Tokens of a map in the order of the published code."""
    token = [maps[f"{name}_class"][:, None]] if f"{name}_class" in maps else []
    grids = [maps[name + scale] for scale in scales]
    return jnp.concatenate([*token, *(grid.reshape(len(grid), -1, grid.shape[-1]) for grid in grids)], 1)


def converted(tensors, to, dtype):
    variables, report, release = convert({f"opt/target/{name}": array for name, array in tensors.items()}, to)
    assert (release.name, report.prefix, report.problems()) == ("google-research", "opt/target/", "")
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), variables)


def assert_parity(torch_musiq, tensors, spec, dtype, tolerance, jit):
    images = np.random.default_rng(1).uniform(-1, 1, (2, *spec.input_size, 3))
    kind, model = VARIANTS[spec.backbone], build(spec)

    @jit
    def run(variables, x):
        maps = model.apply(variables, x, method="features")
        tokens = {name: joined(maps, name, kind.scales) for name in insertion_points(spec.backbone)[1:]}
        return {**tokens, "encoded": maps["encoded"], "outputs": model.apply(variables, x, train=False)}

    expected = expected_maps(torch_musiq, tensors, images, kind.copies)
    with jax.enable_x64(dtype == "float64"):
        maps = run(converted(tensors, spec, dtype), jnp.asarray(images, dtype))
    assert set(maps) == set(expected)
    for name, value in maps.items():
        assert value.dtype == dtype
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=tolerance * np.abs(expected[name]).max())


@pytest.mark.parametrize(
    ("size", "dtype"),
    [
        (ODD, "float64"),
        ((20, 7), "float32"),
        pytest.param((96, 40), "float64", marks=pytest.mark.slow),
        pytest.param((64, 64), "float32", marks=pytest.mark.slow),
    ],
)
def test_every_map_and_the_score_equal_an_independent_pytorch_network(torch_musiq, published, size, dtype):
    tolerance = {"float32": 1e-4, "float64": 1e-9}[dtype]
    assert_parity(torch_musiq, published, spec(size), dtype, tolerance, quick_jit)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-4)])
def test_the_full_network_equals_an_independent_pytorch_network(torch_musiq, dtype, tolerance):
    tensors = torch_musiq.random_tensors(torch_musiq.published_shapes())
    assert_parity(torch_musiq, tensors, ModelSpec("musiq", "musiq", (), (300, 425)), dtype, tolerance, jax.jit)


def test_the_published_model_has_27_million_parameters_under_the_published_names(torch_musiq):
    expected = torch_musiq.published_shapes()
    variables = {name: np.broadcast_to(np.float32(1), shape) for name, shape in expected.items()}
    fitted, report, _ = convert({f"opt/target/{name}": array for name, array in variables.items()}, preset("musiq"))
    assert (len(report.used), report.problems()) == (len(expected), "")
    assert round(sum(leaf.size for leaf in jax.tree.leaves(fitted)) / 1e6, 1) == 27.1


def in_pytorch(published):
    """The published tensors as IQA-PyTorch has them."""
    layer, attention = "Transformer/encoderblock_", "MultiHeadDotProductAttention_1/"
    words = [
        (layer, "transformer_encoder.transformer.encoderblock_"), (attention, "attention."), ("LayerNorm_0", "norm1"),
        ("LayerNorm_2", "norm2"), ("MlpBlock_3/Dense_0", "mlp.fc1"), ("MlpBlock_3/Dense_1", "mlp.fc2"),
        ("Transformer/", "transformer_encoder."), ("pos_embedding", "position_emb"), ("scale_embedding", "scale_emb"),
        ("block1/unit1/", "block1."), ("/kernel", ".weight"), ("/scale_emb", ".scale_emb"), ("/scale", ".weight"),
        ("/", "."),
    ]  # fmt: skip
    tensors = {}
    for name, array in published.items():
        if attention in name and "/out/" not in name:
            array = array.reshape(len(array), -1) if name.endswith("kernel") else array.ravel()
        elif attention in name and name.endswith("kernel"):
            array = array.reshape(-1, array.shape[-1])
        if name.endswith("kernel"):
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        elif array.ndim == 4:
            array = array.ravel()
        for old, new in words:
            name = name.replace(old, new)
        tensors[name] = array[0] if name.endswith("scale_emb") else array
    return tensors


def test_iqa_pytorchs_files_are_the_same_model(published):
    variables, report, release = convert(in_pytorch(published), spec())
    assert (release.name, report.problems()) == ("IQA-PyTorch", "")
    jax.tree.map(np.testing.assert_array_equal, variables, convert(published, spec())[0])


def test_missing_unknown_and_other_tensors_are_named(published):
    name = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1/query/kernel"
    wrong = {f"opt/target/{key}": array for key, array in published.items() if key != "Transformer/cls"}
    wrong |= {"opt/target/pre_logits/kernel": np.zeros((2, 2)), "opt/state/step": np.zeros(())}
    wrong[f"opt/target/{name}"] = wrong[f"opt/target/{name}"].reshape(24, 2, 12)  # other heads, as many numbers
    report = convert(wrong, spec())[1]
    assert report.problems() == (
        "1 missing: Transformer/cls; 1 unused: pre_logits/kernel; "
        f"1 of another shape: {name} (24, 2, 12) instead of (24, 24)"
    )
    assert report.outside == ("opt/state/step",)


def test_a_published_archive_is_converted_by_the_command_for_photos_of_any_size(
    published, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(PRESETS, "musiq", spec())
    named = {f"opt/target/{name}": np.float32(array) for name, array in published.items()}
    np.savez(tmp_path / "koniq_ckpt.npz", **named)
    given = ["convert", str(tmp_path / "koniq_ckpt.npz"), str(tmp_path / "out"), "--model", "musiq"]
    assert main([*given, "--input-size", "33", "75"]) == 0
    loaded = checkpoint.load(tmp_path / "out")
    assert (loaded.spec.input_size, float(loaded.calibration.high)) == ((33, 75), 100)
    jax.tree.map(
        np.testing.assert_array_equal,
        dict(loaded.variables["params"]),
        converted(published, spec(), "float32")["params"],
    )
    capsys.readouterr()
    assert main([*given[:2], str(tmp_path / "no"), *given[3:], "--input-size", "0", "75"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "riqa convert: --input-size: height and width of at least 1 expected, got (0, 75)"
    ]
    del named["opt/target/head/bias"]
    np.savez(tmp_path / "koniq_ckpt.npz", **named)
    assert main([*given[:2], str(tmp_path / "no"), *given[3:]]) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert error.endswith("does not fit musiq: 1 missing: head/bias; --allow-missing takes what fits")


def test_a_classifier_of_imagenet_is_left_out(published):
    pretrained = {**published, "head/kernel": np.zeros((24, 1000)), "head/bias": np.zeros(1000)}
    report = convert(pretrained, spec())[1]
    assert report.problems() == "2 missing: head/bias, head/kernel"
    assert report.problems(allow_missing=True) == ""
    with pytest.raises(ValueError, match="no installable package carries weights of MUSIQ: convert a published"):
        init_pretrained(spec(), jax.random.key(0))


def test_grades_become_their_mean(torch_musiq):
    tensors = torch_musiq.random_tensors(torch_musiq.published_shapes(**WIDTHS, outputs=10))
    ava = ModelSpec("musiq-ava", "musiq_test", (), (40, 70))
    variables, report, _ = convert(tensors, ava)
    assert report.problems() == ""
    sequence = {name.replace("head.", "head.0."): array for name, array in in_pytorch(tensors).items()}
    assert convert(sequence, ava)[1].problems() == ""
    image = np.random.default_rng(2).uniform(size=(1, 40, 70, 3)).astype(np.float32)
    outputs = expected_maps(torch_musiq, tensors, 2 * image.astype(float) - 1)["outputs"]
    shares = np.exp(outputs) / np.exp(outputs).sum()
    scorer = Scorer({**variables, "batch_stats": {}}, Calibration.identity(), ava)
    np.testing.assert_allclose(scorer(jnp.asarray(image)), shares @ np.arange(1, 11), rtol=1e-4)


def test_positions_are_spread_over_the_grid_and_repeated_on_larger_ones():
    assert hashed_positions(3).tolist() == [0, 3, 6]
    assert hashed_positions(10).tolist() == list(range(10))
    assert hashed_positions(24).tolist() == [i * GRID // 24 for i in range(24)]


class Shift(nn.Module):
    """A block that adds its one parameter to the first channel; to all, layer normalisation would take it off."""

    @nn.compact
    def __call__(self, x):
        return x.at[..., 0].add(self.param("by", nn.initializers.ones, ()))


def test_a_block_has_a_part_for_every_scale_and_changes_what_follows():
    plain, image = MUSIQ("musiq_test"), (1, 40, 70, 3)
    model = plain.clone(block=BlockPerScale(Shift(), 3), block_at="block0")
    variables = random_variables(plain, image)["params"]
    x = jnp.asarray(np.random.default_rng(3).uniform(-1, 1, image), jnp.float32)

    @quick_jit
    def run(params, shifts):
        block = {f"scales_{i}": {"by": shift} for i, shift in enumerate(shifts)}
        return model.apply({"params": {**params, "block": block}}, x, method="features")

    before = run(variables, (0.0, 0.0, 0.0))
    for moved, ending in enumerate(SMALL.scales):
        after = run(variables, tuple(float(i == moved) for i in range(3)))
        change = {name: float(np.abs(after[name] - before[name]).max()) for name in before}
        assert change.pop(f"block0{ending}") == pytest.approx(1, abs=1e-5)
        for name, value in change.items():
            assert (value > 1e-3) == (name.startswith("block1") or name == "encoded"), name


@pytest.mark.parametrize("at", ["input", "patches", "embed", "block1"])
def test_every_place_takes_a_block_that_shrinks_the_map(at):
    block = BlockSpec(at, 4, "square", 1)
    variables = jax.eval_shape(
        lambda key: build(spec((200, 330), block=block)).init(key, jnp.zeros((1, 200, 330, 3)), train=False),
        jax.random.key(0),
    )
    parts = variables["params"]["block"]
    assert set(parts) == ({"conv_in", "cayley"} if at == "input" else {"scales_0", "scales_1", "scales_2"})


def test_wrong_names_are_refused():
    with pytest.raises(ValueError, match="no feature map 'block2' for the block; choose one of input, patches, embed"):
        build(spec(block=BlockSpec("block2")))
    with pytest.raises(ValueError, match="unknown variant of MUSIQ 'resnet50'"):
        build(ModelSpec("musiq", "resnet50", (), ODD))
    with pytest.raises(ValueError, match=r"MUSIQ: expected images \(n, h, w, 3\), got \(1, 8, 8\)"):
        shapes(MUSIQ("musiq_test"), (1, 8, 8))
    with pytest.raises(ValueError, match="MUSIQ: cannot put a block at 'stem'; choose one of input, patches"):
        shapes(MUSIQ("musiq_test", block=Shift(), block_at="stem"), (1, 40, 40, 3))


@pytest.mark.slow
def test_it_is_attacked_through_its_own_resizes_with_and_without_a_prepared_block():
    robust = spec((66, 98), block=BlockSpec("patches", 6, "none", 1))
    variables = {**random_variables(build(robust), (1, 66, 98, 3)), "batch_stats": {}}
    scorer = Scorer(variables, Calibration.identity(), robust)
    x = jnp.asarray(np.random.default_rng(4).uniform(0.2, 0.8, (2, 66, 98, 3)), jnp.float32)
    prepared = scorer.prepare()
    np.testing.assert_allclose(prepared(x), scorer(x), rtol=1e-4)
    attacked = attacks.pgd(8 / 255, 3)(prepared, jax.random.key(0), x)
    assert (np.asarray(scorer(attacked)) > np.asarray(scorer(x))).all()
    assert np.abs(attacked - x).max() <= 8 / 255 + 1e-6


@pytest.mark.slow
def test_gradients_reach_the_photo_through_every_scale():
    model, x = MUSIQ("musiq_test"), jnp.full((1, 40, 70, 3), 0.5, jnp.float32)
    variables = random_variables(model, x.shape)

    @quick_jit
    def reach(variables):
        def total(x, scale):
            return model.apply(variables, x, method="features")[f"patches{scale}"].sum()

        return [jnp.abs(jax.grad(total)(x, scale)).max((0, 3)) for scale in SMALL.scales]

    smaller, larger, own = (np.asarray(grad) > 0 for grad in reach(variables))
    assert own.all()  # each pixel lies in a patch
    assert larger.all()  # of more pixels than the photo
    assert smaller.mean() > 0.9  # nearly as many
    assert normalise(spec(), x).shape == x.shape


@pytest.mark.slow
def test_it_is_scored_attacked_and_reported_on_by_the_commands(tmp_path, capsys):
    table = write_photo_table(tmp_path / "photos", count=6, side=50)
    for name, block in (("base", None), ("robust", BlockSpec("patches", 6, "none", 1))):
        described = spec((50, 50), block=block)
        variables = {**random_variables(build(described), (1, 50, 50, 3)), "batch_stats": {}}
        checkpoint.save(tmp_path / name, Scorer(variables, Calibration.identity(), described), {})
    base, robust, photo = (str(tmp_path / name) for name in ("base", "robust", "photos/0.png"))
    assert main(["score", photo, "--checkpoint", robust]) == 0
    attack = ["--attack", "pgd", "--steps", "2", "--out", str(tmp_path / "attacked")]
    assert main(["attack", photo, "--checkpoint", robust, *attack]) == 0
    run = [
        "--data",
        str(table),
        "--steps",
        "2",
        "--eps",
        "0.01",
        "--attack-photos",
        "2",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(["evaluate", base, robust, *run]) == 0
    capsys.readouterr()
    assert main(["report", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {row["model"] for row in report["rows"]} == {"base", "robust"}
