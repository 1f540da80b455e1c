"""Random weights for a PyTorch reference, none of them trivially 0 or 1."""

import torch
from torch import nn


def randomise(module, seed=0):
    """Seeded statistics and weights of every norm; returns the module's tensors as numpy copies."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(part.weight, 0.3, 0.9)
            nn.init.normal_(part.bias, 0, 0.1)
        if isinstance(part, nn.MultiheadAttention):
            nn.init.normal_(part.in_proj_bias, 0, 0.1)
            nn.init.normal_(part.out_proj.bias, 0, 0.1)
    return {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}
