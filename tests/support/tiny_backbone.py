"""A backbone "tiny" of two convolutions for tests of the training step: it compiles in about a second."""

from collections.abc import Iterator
from contextlib import contextmanager

import flax.linen as nn
import pytest
from quick_models import random_variables

from robust_iqa_jax.backbones.named_maps import inserted
from robust_iqa_jax.layers.batch_norm import BatchNorm
from robust_iqa_jax.models.backbone_table import BACKBONES, BackboneEntry


class Tiny(nn.Module):
    bn_axis_name: str | None = None

    @nn.compact
    def __call__(self, x, *, train, insert=None, start=None):
        maps = {}
        for name, width in (("first", 6), ("second", 8)):
            if start == "first" and name == "first":
                maps[name] = x
                continue
            x = nn.Conv(width, (3, 3), (2, 2), name=name)(x)
            x = nn.relu(BatchNorm(axis_name=self.bn_axis_name, name=f"{name}_bn")(x, train))
            x = maps[name] = inserted(insert or {}, name, x)
        return maps


@contextmanager
def registered() -> Iterator[None]:
    row = BackboneEntry(
        build=Tiny,
        taps=("first", "second"),
        block_points=("input", "first", "second"),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        pretrained=lambda: random_variables(Tiny(), (1, 32, 32, 3)),
        map_of=lambda module: module.split("_")[0],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "tiny", row)
        yield
