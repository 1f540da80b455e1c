"""Activations of a backbone's convolutions on labelled photos, pooled to a few cells a filter: what pruning by
activations looks at. Source: A-Lin models_train/pruning.py (docs/sources.md 3.3) for layers, photos and targets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.data.batches import padded_batches
from robust_iqa_jax.data.images import at_size
from robust_iqa_jax.data.photo_set import PhotoSet, evenly_spread
from robust_iqa_jax.defenses.masks import convolution_kernels
from robust_iqa_jax.functional.map_resize import adaptive_average_pool
from robust_iqa_jax.models.backbone_table import backbone
from robust_iqa_jax.models.crops import central
from robust_iqa_jax.models.registry import build, normalise
from robust_iqa_jax.models.spec import ModelSpec

PHOTOS = 100
"""Photos that are looked at, evenly spaced over the set; the authors' number."""
CELLS = (4, 4)
"""Whole maps of 100 photos do not fit into memory: each is averaged over a grid of these many cells."""
THUMBNAIL = (32, 32)
BATCH = 4
SHORTCUT = "downsample_conv"


@dataclass(frozen=True, eq=False)
class Activations:
    """What some photos look like to a network.

    Attributes:
      maps: path of a kernel -> (photos, cells, filters) outputs of that convolution, in the order of the network.
      thumbnails: (photos, 3072) pixels in [0,1].
      scores: (photos,) opinion scores.
    """

    maps: dict[str, Float[np.ndarray, "n cells f"]]
    thumbnails: Float[np.ndarray, "n d"]
    scores: Float[np.ndarray, " n"]


def main_convolutions(spec: ModelSpec, params: dict[str, Any]) -> set[str]:
    """Paths of the backbone's kernels on its main path that the model reads: no shortcuts, no layers behind the last
    map that LinearityIQA pools."""
    entry = backbone(spec.backbone)
    last = max((entry.taps.index(tap) for tap in spec.taps), default=len(entry.taps))

    def is_read(path: str) -> bool:
        name = entry.map_of(path.split("/")[1])
        return name not in entry.taps or entry.taps.index(name) <= last

    own = [path for path in convolution_kernels(params) if path.startswith("backbone/")]
    return {path for path in own if path.split("/")[-2] != SHORTCUT and is_read(path)}


def pooled_activations(spec: ModelSpec, variables: dict[str, Any], photos: PhotoSet) -> Activations:
    """Run the model in evaluation mode on up to 100 photos and keep the outputs of its main convolutions.

    They are those of the network that is pruned, with its normalisation, activations, shortcuts and poolings; the
    authors' code chains the bare convolutions on the image instead.

    Args:
      spec: the model.
      variables: its variables.
      photos: labelled photos, resized to the model's input size (its central window where it reads windows).

    Raises:
      ValueError: the backbone has no convolutions of its own to look at, or the photos cannot rank anything.
    """
    paths = main_convolutions(spec, variables["params"])
    if not paths:
        raise ValueError(f"pruning: {spec.architecture} has no convolutions under 'backbone' to look at; use l1 or l2")
    chosen = photos.subset(evenly_spread(len(photos), PHOTOS))
    if len(chosen) < 3 or np.ptp(chosen.scores) == 0:
        raise ValueError("pruning: ranking filters by activations needs three photos and two different scores or more")
    compute = _pooled_maps(spec, paths)
    images = [chosen.load(i) for i in range(len(chosen))]
    batches = []
    for inputs, count in padded_batches((at_size(image, spec.input_size) for image in images), BATCH):
        layers = compute(variables, jnp.asarray(inputs))
        batches.append({path: np.asarray(y)[:count] for layer in layers for path, y in layer.items()})
    maps = {path: np.concatenate([batch[path] for batch in batches]) for path in batches[0]}
    thumbnails = np.stack([at_size(image, THUMBNAIL).ravel() for image in images])
    return Activations(maps, thumbnails, chosen.scores)


def _pooled_maps(spec: ModelSpec, paths: set[str]) -> Callable[[Any, Array], list[dict[str, Array]]]:
    """(variables, images) -> path and pooled map of each of these convolutions, in the order of the network (a list,
    because a dict that leaves a jitted function is sorted)."""
    module = build(spec)

    @jax.jit
    def compute(variables: Any, images: Array) -> list[dict[str, Array]]:
        maps: dict[str, Array] = {}

        def record(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
            y = call(*args, **kwargs)
            path = "/".join((*context.module.path, "kernel"))
            if context.method_name == "__call__" and path in paths:
                maps[path] = adaptive_average_pool(y, CELLS).reshape(y.shape[0], -1, y.shape[-1])
            return y

        with nn.intercept_methods(record):
            module.apply(variables, normalise(spec, central(images, spec.crops)), train=False)
        return [{path: y} for path, y in maps.items()]

    return compute
