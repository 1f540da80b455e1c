"""Models in tests without the expensive parts of compilation, which is most of what running a small one takes:
variables drawn with numpy instead of by the model's initialisers, programs hardly optimised."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

QUICKLY = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""Options of a compiler that takes a third of its time; the second is most of it."""
quick_jit = partial(jax.jit, compiler_options=QUICKLY)
"""jax.jit in a third of the time; for programs that run a few times."""


def shapes(model, image_shape):
    """The model's variables as jax.eval_shape gives them, for images (n, h, w, 3)."""
    image = jax.ShapeDtypeStruct(image_shape, jnp.float32)
    return jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), image)


def random_variables(model, image_shape, seed=0):
    """float32 variables: kernels of variance 2 / fan-in, scales and variances around one, everything else small."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        name = path[-1].key
        if name == "kernel":
            return rng.normal(0, (2 * leaf.shape[-1] / leaf.size) ** 0.5, leaf.shape)
        if name in ("scale", "var", "alpha"):
            return rng.uniform(0.5, 1.5, leaf.shape)
        return rng.normal(0, 0.1, leaf.shape)

    drawn = jax.tree_util.tree_map_with_path(draw, shapes(model, image_shape))
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), drawn)
