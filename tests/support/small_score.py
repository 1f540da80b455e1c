"""A small non-linear score whose gradient numpy can write down, for transcriptions of attacks."""

import jax.numpy as jnp
import numpy as np

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(6, 5, 3))
MIX = RNG.normal(size=(90, 7))


def score(x):
    """A small non-linear score whose gradient numpy can write down: sum(tanh(vec(x) MIX)) + <x, WEIGHTS>."""
    flat = x.reshape(x.shape[0], -1)
    return jnp.tanh(flat @ jnp.asarray(MIX, x.dtype)).sum(1) + flat @ jnp.asarray(WEIGHTS.ravel(), x.dtype)


def gradient(x):
    flat = x.reshape(len(x), -1)
    return ((1 - np.tanh(flat @ MIX) ** 2) @ MIX.T + WEIGHTS.ravel()).reshape(x.shape)


def images(count=4, seed=1):
    return np.random.default_rng(seed).uniform(0, 1, (count, 6, 5, 3)).astype(np.float32)


def value(x):
    """`score` by numpy, in float64."""
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    return np.tanh(flat @ MIX).sum(1) + flat @ WEIGHTS.ravel()


def linear(x):
    """<x, WEIGHTS>, whose optimum in a ball is eps times the dual norm of the weights."""
    return x.reshape(x.shape[0], -1) @ jnp.asarray(WEIGHTS.ravel(), x.dtype)
