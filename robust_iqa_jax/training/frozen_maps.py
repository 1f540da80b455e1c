"""Feature maps of the frozen part of a backbone, computed once a photo and read from disk in training.
With `train_from` set, the layers before it give a whole photo the same map at every epoch: this saves it."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array, Float16

from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.data.pipeline import grey_levels, stored
from robust_iqa_jax.files import check_space, whole_file
from robust_iqa_jax.models.backbone_table import backbone
from robust_iqa_jax.models.registry import build, normalise
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.optimizer import part_labels

BATCH = 8

Maps = Callable[[int], Float16[np.ndarray, "2 h w c"]]
"""Photo index -> its map and the map of its mirror image, in half precision."""


def frozen_map(config: TrainConfig) -> str:
    """Name of the last map of the frozen part.

    Raises:
      ValueError: nothing is frozen, or frozen maps would not be the same at every step.
    """
    entry = backbone(config.model.backbone)
    taps = entry.taps
    if config.train_from is None or config.train_from == taps[0]:
        raise ValueError("--cache-frozen: needs --train-from with at least one feature map before it")
    if config.backbone_stats != "frozen":
        raise ValueError("--cache-frozen: needs --backbone-stats frozen")
    at = taps[taps.index(config.train_from) - 1]
    block = config.model.block
    if block is not None and block.at in entry.block_points[: entry.block_points.index(at)]:
        raise ValueError(
            f"--cache-frozen: the block at {block.at} lies inside the frozen part; choose an earlier --train-from"
        )
    return at


def frozen_maps(
    config: TrainConfig,
    variables: dict[str, Any],
    photos: PhotoSet,
    folder: Path,
    on_photos: Callable[[int, int], None] = lambda done, total: None,
) -> Maps:
    """Make the maps that are not yet in `folder` and give access to all of them.

    Files are named by the content of photo, weights and configuration, so that several runs can share a folder and a
    changed photo or weight is never mistaken for an old one.

    Args:
      config: the run; see `frozen_map` for what it must say.
      variables: of the model at the start.
      photos: whose maps.
      folder: created where missing.
      on_photos: called with (done, total) while maps are made.

    Returns:
      index -> (2, h, w, c) float16.
    """
    at = frozen_map(config)
    folder = folder / _fingerprint(config, variables, at)
    folder.mkdir(parents=True, exist_ok=True)
    size = config.model.input_size
    paths: list[Path] = []
    waiting: list[tuple[Path, np.ndarray]] = []
    compute = _mirrored_maps(config, variables, at)

    shape = jax.eval_shape(compute, jax.ShapeDtypeStruct((BATCH, *size, 3), np.uint8))
    made = sum(1 for _ in folder.glob("*.npy"))
    check_space(folder, max(0, len(photos) - made) * shape.size * shape.dtype.itemsize / BATCH, "maps of frozen layers")

    def flush() -> None:
        images = np.stack([image for _, image in waiting] + [waiting[-1][1]] * (BATCH - len(waiting)))
        for (path, _), maps in zip(waiting, np.asarray(compute(jnp.asarray(images))), strict=False):
            with whole_file(path) as temporary, temporary.open("wb") as file:
                np.save(file, maps)
        waiting.clear()

    for i in range(len(photos)):
        image = grey_levels(stored(photos.load(i), size))
        paths.append(folder / f"{hashlib.sha256(image.tobytes()).hexdigest()[:32]}.npy")
        if not paths[-1].exists():
            waiting.append((paths[-1], image))
        if len(waiting) == BATCH or (waiting and i == len(photos) - 1):
            flush()
        on_photos(i + 1, len(photos))
    return lambda i: np.load(paths[i])


def _mirrored_maps(config: TrainConfig, variables: dict[str, Any], at: str) -> Callable[[Array], Array]:
    backbone = build(config.model).backbone
    own = {name: variables[name]["backbone"] for name in ("params", "batch_stats")}

    @jax.jit
    def compute(images: Array) -> Array:
        pixels = normalise(config.model, images.astype(jnp.float32) / 255)
        both = [backbone.apply(own, x, train=False) for x in (pixels, pixels[:, :, ::-1])]
        return jnp.stack([cast(dict[str, Array], maps)[at] for maps in both], axis=1).astype(jnp.float16)

    return compute


def _fingerprint(config: TrainConfig, variables: dict[str, Any], at: str) -> str:
    """Name that changes with anything that the frozen maps depend on but the photo."""
    digest = hashlib.sha256(repr((config.model.backbone, config.model.input_size, at)).encode())
    labels = traverse_util.flatten_dict(part_labels(config, variables["params"]), sep="/")
    for collection in ("params", "batch_stats"):
        leaves = traverse_util.flatten_dict({"backbone": variables[collection]["backbone"]}, sep="/")
        for name in sorted(leaves):
            kernel = name.rsplit("/", 1)[0]
            if collection == "batch_stats" or labels[name] == "frozen":
                digest.update(kernel.encode() + np.ascontiguousarray(leaves[name]).tobytes())
    return f"{config.model.backbone}-{at}-{digest.hexdigest()[:16]}"
