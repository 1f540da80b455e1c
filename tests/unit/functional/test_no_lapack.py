"""No batched LAPACK call in what users jit: in jax 0.10 on CPU two independent ones in a program can hang it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robust_iqa_jax.functional import cayley
from robust_iqa_jax.layers.robust_block import RobustBlock

LAPACK = {"lu", "cholesky", "triangular_solve", "eigh", "eig", "svd", "qr", "householder_product", "schur"}


def primitives(jaxpr):
    """Names of all primitives, through every nested program."""
    found = set()
    for equation in jaxpr.eqns:
        found.add(equation.primitive.name)
        for value in jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found |= primitives(inner)
    return found


def two_branches(params, x):
    first = cayley.cayley_conv(x, *params[0])
    second = cayley.cayley_conv(x[:, ::-1], *params[1])
    return first + second


def drawn(channels_in, channels_out, seed):
    rng = np.random.default_rng(seed)
    kernel = jnp.asarray(rng.normal(size=(3, 3, channels_in, channels_out)) / 10, jnp.float32)
    return kernel, jnp.linalg.norm(kernel.ravel()), jnp.zeros(channels_out)


def test_the_walk_sees_lapack_where_there_is_some():
    assert "lu" in primitives(jax.make_jaxpr(jax.jit(lambda m: jnp.linalg.inv(m)))(jnp.ones((2, 3, 3))).jaxpr)


@pytest.mark.parametrize(
    ("channels", "solver"), [((3, 8), "auto"), ((60, 20), "auto"), ((60, 70), "auto"), ((20, 40), "newton_schulz")]
)
def test_convolution_and_its_gradient_call_no_lapack(channels, solver):
    x, params = jnp.zeros((2, 5, 6, channels[0])), drawn(*channels, 0)
    loss = jax.jit(lambda p, x: cayley.cayley_conv(x, *p, solver=solver).sum())
    used = primitives(jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(params, x).jaxpr)
    assert "dot_general" in used
    assert not used & LAPACK


def test_block_initialisation_and_use_call_no_lapack():
    block, x = RobustBlock(12), jnp.zeros((1, 9, 7, 20))
    used = primitives(jax.make_jaxpr(lambda key: block.init(key, x))(jax.random.key(0)).jaxpr)
    assert not used & LAPACK


@pytest.mark.slow
def test_two_parallel_convolutions_train_300_steps_without_a_hang():
    # 40 channels and 13 x 13 maps: systems large enough for LAPACK calls of the same size to hang with two threads
    params, x = [drawn(40, 60, 0), drawn(40, 60, 1)], jnp.asarray(np.random.default_rng(2).normal(size=(4, 13, 13, 40)))
    target = jnp.roll(jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, 20))), 1, axis=1)
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(params, state):
        loss, gradient = jax.value_and_grad(lambda p: jnp.mean((two_branches(p, x) - target) ** 2))(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, loss

    state, losses = optimizer.init(params), []
    for _ in range(300):
        params, state, loss = step(params, state)
        losses.append(float(loss))
    assert losses[-1] < 0.9 * losses[0]
    assert np.isfinite(losses).all()
