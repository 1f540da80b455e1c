"""Every attack of the registry at its smallest, so that a table over all of them is compiled in seconds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_iqa_jax.attacks.registry import ATTACKS, make

SMALLEST = {"steps": 2, "queries": 5, "epochs": 1, "batch_size": 2, "width": 2, "samples": 4, "searches": 1}
SMALLEST |= {"restarts": 2, "pieces": 4, "pixels": 6, "side": 3, "generations": 1}

KEY = jax.random.key(3)
CONTROLS = ("gaussian-noise", "uniform-noise", "jpeg", "quantise")
"""Attacks that never ask for a score."""
SCORES_ONLY = ("square", "multi-square", "sparse-rs", "patch-rs", "gamma-unsharp")
"""Those that do, and follow no gradient."""
FITTED = tuple(name for name in ATTACKS if ATTACKS[name].fitted)
FOLLOWING = tuple(name for name in ATTACKS if name not in (*CONTROLS, *SCORES_ONLY))
"""Those that follow gradients, estimated ones of nes included."""
SLOW = ("stadv", "suite", "uap-generative", "facpa")
"""Those whose programs take long to compile; parts of them stand in the tables under other settings."""


def smallest(name, **settings):
    """The attack, or its configuration where it is fitted first."""
    known = ATTACKS[name].settings
    if name == "perceptual":
        known = {setting: value for setting, value in known.items() if setting != "distance"}
        settings = {"distance": squared_distance, **settings}
    return make(name, **{setting: SMALLEST[setting] for setting in SMALLEST if setting in known} | settings)


def squared_distance(x, y):
    return ((x - y) ** 2).sum((1, 2, 3))


def attacked(attack, scorer, images, key=KEY, **options):
    """Adversarial images; what has to be fitted is fitted on the images themselves."""
    if hasattr(attack, "fit"):
        attack = attack.fit(scorer, key, images)
    return attack(scorer, key, images, **options)


def photos(count=2, side=8, seed=0):
    """Pixels in [0.2, 0.8]."""
    return np.random.default_rng(seed).uniform(0.2, 0.8, (count, side, side, 3)).astype(np.float32)


def score(x):
    """Smooth, steeper in one half than in the other; computed in the pixels' own type."""
    return 10 * (jnp.tanh(x[:, :4]).mean((1, 2, 3)) - (x[:, 4:] ** 2).mean((1, 2, 3)))


def each(*names, slow=SLOW):
    """Parametrised over attacks; those whose programs take long to compile are marked slow."""
    marked = [pytest.param(name, marks=pytest.mark.slow) if name in slow else name for name in names]
    return pytest.mark.parametrize("name", marked)
