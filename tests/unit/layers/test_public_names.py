"""The public names of robust_iqa_jax.layers and the fields of each, in their order: what users' code relies on."""

import dataclasses
import subprocess
import sys

from robust_iqa_jax import layers

SHARED = ["features", "kernel_size"]
KEYWORDS = [
    *("strides", "padding", "feature_group_count", "use_bias", "dtype", "param_dtype", "kernel_init", "bias_init"),
    "stride",
]

FIELDS = {
    "AOLConv": SHARED,
    "BCOPConv": SHARED,
    "BROConv": [*SHARED, "rank", "solver", "transform"],
    "CayleyConv": [*SHARED, "norm", "alpha_init", "solver", "transform", "compat"],
    "GroupSort": ["group_size"],
    "InvertibleDownsampling": ["strides"],
    "RobustBlock": ["mid_channels", "pool", "padding", "norm", "alpha_init", "compat", "convolution"],
    "SLLConv": [*SHARED, "width"],
}


def test_names_and_fields_are_these():
    assert sorted(layers.__all__) == sorted([*FIELDS, "CONVOLUTIONS", "OPERATORS", "WARM_STARTS", "prepared"])
    assert list(layers.CONVOLUTIONS) == ["cayley", "bcop", "bro", "aol", "sll"]
    assert (layers.OPERATORS, layers.WARM_STARTS) == ("operators", "warm_starts")
    for name, positional in FIELDS.items():
        fields = [field for field in dataclasses.fields(getattr(layers, name)) if field.name not in ("parent", "name")]
        assert [field.name for field in fields if not field.kw_only] == positional, name
        keywords = [field.name for field in fields if field.kw_only]
        assert keywords == (KEYWORDS if positional[:2] == SHARED else []), name


def test_layers_are_imported_without_models_and_data():
    code = "import sys, robust_iqa_jax.layers; print(*(m for m in sys.modules if m.startswith('robust_iqa_jax.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = {name.split(".")[1] for name in done.stdout.split()}
    assert rooms <= {"layers", "functional", "kernels", "work", "checks", "wording"}
