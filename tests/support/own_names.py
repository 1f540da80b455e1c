"""A state dict under the names of a release, made from a model's shapes alone."""

import flax.traverse_util
import numpy as np

from robust_iqa_jax.models.registry import shapes


def state_dict(spec, release, seed=0):
    """Tensors as the release's file would have them: variances and scales positive, everything else around zero."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for path, leaf in flax.traverse_util.flatten_dict(shapes(spec)).items():
        low = 0.5 if path[-1] in ("var", "scale", "alpha") else -0.1
        array = rng.uniform(low, low + 1, leaf.shape).astype(np.float32)
        axes = release.axes.get(array.ndim, range(array.ndim))
        tensors[release.name_of(path)] = array.transpose(np.argsort(axes))
    return tensors
