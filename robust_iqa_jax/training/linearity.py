"""What training does for a head on pooled maps (LinearityIQA) only: maps of frozen layers are computed once and kept
on disk; the head is fitted on pooled features of whole photos before everything is trained, and calibrated on them."""

import hashlib
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util
from jaxtyping import Array, Float

from robust_iqa_jax.data.batches import padded_batches
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.data.pipeline import grey_levels, stored
from robust_iqa_jax.files import check_space, whole_file
from robust_iqa_jax.layers.linearity_head import LinearityHead
from robust_iqa_jax.losses.total import OutputLoss, linearity_iqa_loss
from robust_iqa_jax.models.registry import normalise
from robust_iqa_jax.training.optimizer import part_labels
from robust_iqa_jax.training.run import Load, Run

BATCH = 8
HEAD_BATCH, HEAD_RATE = 64, 1e-3

Features = list[Float[np.ndarray, "n f"]]


def cached_maps(
    run: Run,
    variables: dict[str, Any],
    photos: PhotoSet,
    folder: Path,
    on_photos: Callable[[int, int], None] = lambda done, total: None,
) -> Load:
    """Make the maps of frozen layers that are not yet in `folder` and give access to all of them.

    With `train_from` set, the layers before it give a whole photo the same map at every epoch. Files are named by the
    content of photo, weights and configuration, so that several runs can share a folder and a changed photo or weight
    is never mistaken for an old one.

    Args:
      run: with a `cached_map`.
      variables: of the model at the start.
      photos: whose maps.
      folder: created where missing.
      on_photos: called with (done, total) while maps are made.

    Returns:
      index -> (2, h, w, c) float16: the photo's map and that of its mirror image.
    """
    folder = folder / _fingerprint(run, variables)
    folder.mkdir(parents=True, exist_ok=True)
    size, compute = run.config.model.input_size, _mirrored_maps(run, variables)
    shape = jax.eval_shape(compute, jax.ShapeDtypeStruct((BATCH, *size, 3), np.float32))
    missing = max(0, len(photos) - sum(1 for _ in folder.glob("*.npy")))
    check_space(folder, missing * shape.size * shape.dtype.itemsize / BATCH, "maps of frozen layers")
    paths: list[Path] = []
    pending: list[Path] = []

    def images_without_maps() -> Any:
        for i in range(len(photos)):
            photo = stored(photos.load(i), size)
            path = folder / f"{hashlib.sha256(photo.tobytes()).hexdigest()[:32]}.npy"
            paths.append(path)
            if not path.exists():
                pending.append(path)
                yield grey_levels(photo)
            on_photos(i + 1, len(photos))

    for images, count in padded_batches(images_without_maps(), BATCH):
        for path, maps in zip(pending, np.asarray(compute(jnp.asarray(images)))[:count], strict=True):
            with whole_file(path) as temporary, temporary.open("wb") as file:
                np.save(file, maps)
        pending.clear()
    return lambda i: np.load(paths[i])


def _mirrored_maps(run: Run, variables: dict[str, Any]) -> Callable[[Array], Array]:
    backbone, at = cast(Any, run.module).backbone, cast(str, run.cached_map)
    own = {name: variables[name]["backbone"] for name in ("params", "batch_stats")}

    @jax.jit
    def compute(images: Array) -> Array:
        pixels = normalise(run.config.model, images.astype(jnp.float32) / 255)
        both = [backbone.apply(own, x, train=False) for x in (pixels, pixels[:, :, ::-1])]
        return jnp.stack([cast(dict[str, Array], maps)[at] for maps in both], axis=1).astype(jnp.float16)

    return compute


def _fingerprint(run: Run, variables: dict[str, Any]) -> str:
    """Name that changes with anything that the frozen maps depend on but the photo."""
    config, at = run.config, run.cached_map
    digest = hashlib.sha256(repr((config.model.backbone, config.model.input_size, at)).encode())
    labels = traverse_util.flatten_dict(part_labels(config, variables["params"]), sep="/")
    for collection in ("params", "batch_stats"):
        leaves = traverse_util.flatten_dict({"backbone": variables[collection]["backbone"]}, sep="/")
        for name in sorted(leaves):
            kernel = name.rsplit("/", 1)[0]
            if collection == "batch_stats" or labels[name] == "frozen":
                digest.update(kernel.encode() + np.ascontiguousarray(leaves[name]).tobytes())
    return f"{config.model.backbone}-{at}-{digest.hexdigest()[:16]}"


def pooled_features(run: Run, variables: dict[str, Any], load: Load, count: int) -> Features:
    """Features of each map that the head reads for all photos, whole and not mirrored, in evaluation mode.

    Args:
      run: of the model.
      variables: of the model.
      load: of pixels, or of cached maps where the run has a `cached_map`.
      count: number of photos.
    """
    cached = run.cached_map is not None

    @jax.jit
    def features(inputs: Array) -> list[Array]:
        x = inputs.astype(jnp.float32)
        x = x if cached else normalise(run.config.model, x / 255)
        return cast(list[Array], run.module.apply(variables, x, start=run.cached_map, method="features"))

    inputs = (load(i)[0] if cached else load(i) for i in range(count))
    batches = [[np.asarray(f)[:n] for f in features(x)] for x, n in padded_batches(inputs, BATCH)]
    return [np.concatenate(of_map) for of_map in zip(*batches, strict=True)]


def outputs_from(variables: dict[str, Any], features: Features) -> Float[np.ndarray, " n"]:
    """Uncalibrated scores (n,) float64 of photos from their features, in evaluation mode."""
    own = {name: variables[name]["head"] for name in ("params", "batch_stats")}
    outputs = cast(Array, LinearityHead().apply(own, [jnp.asarray(f) for f in features], train=False))
    return np.asarray(outputs[:, -1], np.float64)


def fit_head(
    variables: dict[str, Any],
    features: Features,
    scores: Float[np.ndarray, " n"],
    epochs: float,
    key: Array,
    loss: OutputLoss = linearity_iqa_loss,
) -> dict[str, Any]:
    """Variables whose head is fitted to the features by Adam in batches of 64, the rate cut tenfold at each third.

    Probing, then fine-tuning (Kumar et al. 2022, arXiv 2202.10054): a fitted head distorts good features less. Large
    batches, because norm-in-norm compares a batch with itself and the head's batch statistics are noisy in small ones;
    they cost nothing here, since no image is looked at.

    Args:
      variables: of the model; only the head's change.
      features: pooled features of each map, one row a photo.
      scores: (n,) opinion scores.
      epochs: passes over the photos.
      key: of the order of the photos.
      loss: of the head's outputs (n, maps + 1) against the scores.

    Returns:
      new variables.
    """
    count = len(scores)
    batch = min(HEAD_BATCH, count)
    steps = max(1, round(epochs * count / batch))
    keys = jax.random.split(key, math.ceil(steps * batch / count))
    order = jnp.concatenate([jax.random.permutation(k, count) for k in keys])[: steps * batch].reshape(steps, batch)
    optimizer = optax.adam(optax.piecewise_constant_schedule(HEAD_RATE, {steps // 3: 0.1, 2 * steps // 3: 0.1}))
    params, batch_stats = variables["params"]["head"], variables["batch_stats"]["head"]
    head, inputs, targets = LinearityHead(), [jnp.asarray(f) for f in features], jnp.asarray(scores, jnp.float32)

    def step(carry: tuple[Any, Any, Any], index: Array) -> tuple[tuple[Any, Any, Any], None]:
        params, batch_stats, state = carry

        def loss_of(params: Any) -> tuple[Array, Any]:
            own = {"params": params, "batch_stats": batch_stats}
            outputs, updated = head.apply(own, [x[index] for x in inputs], train=True, mutable=["batch_stats"])
            return loss(outputs, targets[index]), updated["batch_stats"]

        (_, batch_stats), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), batch_stats, state), None

    run = jax.jit(partial(jax.lax.scan, step))
    (params, batch_stats, _), _ = run((params, batch_stats, optimizer.init(params)), order)
    return {
        "params": {**variables["params"], "head": params},
        "batch_stats": {**variables["batch_stats"], "head": batch_stats},
    }
