"""A PyTorch network's state as the converters take it: float64 arrays, with normalisations that are not untrained."""

import torch


def randomised(model, seed=0):
    """The model in float64 with running statistics, scales and biases of its norms drawn anew."""
    torch.manual_seed(seed)
    for module in model.double().modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.4, 1.2)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    return model


def state(model):
    """Name -> a copy of the array."""
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def nchw(x):
    """An array of images (n, h, w, c) as a tensor (n, c, h, w)."""
    return torch.from_numpy(x).permute(0, 3, 1, 2)
