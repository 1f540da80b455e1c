"""Two finished runs compared by their models, bit by bit."""

import numpy as np
from safetensors.numpy import load_file


def model_tensors(folder):
    """Of a run's work folder."""
    return load_file(folder / "model" / "model.safetensors")


def assert_same_model(found, expected):
    """Every tensor of two work folders' models."""
    tensors, others = model_tensors(found), model_tensors(expected)
    assert tensors.keys() == others.keys()
    for name, tensor in others.items():
        np.testing.assert_array_equal(tensors[name], tensor, err_msg=name)
