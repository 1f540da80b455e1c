"""No random key is used twice: what draws runs under JAX's key-reuse checker (attacks: test_attack_contract.py)."""

import jax
import jax.numpy as jnp
import pytest
import tiny_backbone
from jax.errors import KeyReuseError
from quick_models import quick_jit
from slow_cases import slow_but

from robust_iqa_jax.attacks.arguments import example_keys
from robust_iqa_jax.attacks.eot import EOT
from robust_iqa_jax.attacks.gradient import PGD
from robust_iqa_jax.defenses.adversarial_training import AdversarialConfig, attacked_images
from robust_iqa_jax.defenses.median_smoothing import noisy_scores
from robust_iqa_jax.defenses.purification import DEFENSES, parse_defense
from robust_iqa_jax.models.registry import init
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec


def test_the_checker_sees_a_reused_key():
    with jax.debug_key_reuse(True):
        key = jax.random.key(0)
        jax.random.normal(key)
        with pytest.raises(KeyReuseError):
            jax.random.normal(key)


def test_adversarial_training_uses_each_key_once():
    with jax.debug_key_reuse(True):
        x, mos = jnp.full((2, 4, 4, 3), 0.5), jnp.zeros(2)
        outputs = lambda v: v.sum((1, 2, 3))[:, None]  # noqa: E731
        loss = lambda outputs, mos: jnp.mean((outputs[:, -1] - mos) ** 2)  # noqa: E731
        config = AdversarialConfig(start="uniform")
        attacked = attacked_images(config, outputs, loss, example_keys(jax.random.key(0), 2), x, mos)
    assert attacked.shape == x.shape


@pytest.mark.parametrize("name", slow_but([name for name in DEFENSES if parse_defense(name).random], "crop"))
def test_defences_and_attacks_on_their_mean_use_each_key_once_and_spread_nothing(name):
    defended = parse_defense(name).on(lambda x: jnp.tanh(x).mean((1, 2, 3)))
    x = jnp.full((2, 12, 8, 3), 0.5)
    with jax.debug_key_reuse(True), jax.numpy_rank_promotion("raise"):
        assert defended(x).shape == (2,)
        assert EOT(PGD(0.05, 1), 2)(defended, 0, x).shape == x.shape


def test_certificates_use_each_key_once_and_spread_nothing():
    with jax.debug_key_reuse(True), jax.numpy_rank_promotion("raise"):
        scores = noisy_scores(lambda x: x.mean((1, 2, 3)), jax.random.key(0), jnp.full((2, 4, 4, 3), 0.5), 0.1, 5)
    assert len(set(scores.ravel())) == 10


def test_model_initialisation_uses_each_key_once():
    block = BlockSpec(at="first", mid_channels=4)
    spec = ModelSpec(backbone="tiny", taps=("first", "second"), input_size=(16, 16), block=block)
    with tiny_backbone.registered(), jax.debug_key_reuse(True):
        variables = quick_jit(init, static_argnums=0)(spec, jax.random.key(0))
    assert set(variables["params"]) == {"backbone", "block", "head"}
