"""What every attack promises whatever it does: range, ball, type, keys, batches, chunks, devices, strength.
An attack joins by a line in ATTACKS; run as a script, this file compares device counts (see the last test)."""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_score import images, score

from robust_iqa_jax import attacks

ATTACKS = [
    attacks.pgd(0.1, 3),
    attacks.pgd(0.1, 2, variant="authors-linearity"),
    attacks.pgd(0.1, 2, direction="invert"),
    attacks.pgd(0.9, 3, norm="l2", restarts=2, keep_best=True, direction="opposite"),
    attacks.fgsm(0.1),
    attacks.fgsm(0.9, norm="l2", direction="lower"),
    attacks.ifgsm(0.1, 3),
    attacks.mifgsm(0.1, 3, keep_best=True, direction="change"),
    attacks.mifgsm(0.9, 3, norm="l2", normalise=False),
    attacks.amifgsm(0.1, 3),
    attacks.apgd(0.1, 5),
    attacks.apgd(0.9, 5, norm="l2", restarts=2),
    attacks.carlini_wagner(1.0, 5, searches=2),
    attacks.stadv(2, optimizer="adam"),
    attacks.korhonen(0.1, 3),
    attacks.madc(),
    attacks.color_curves(3),
    attacks.square(0.3, 40),
    attacks.nes(0.1, 2, samples=4),
    attacks.uniform_noise(0.1),
    attacks.gaussian_noise(0.9, norm="l2"),
    attacks.jpeg(50),
    attacks.quantise(),
]
BALLS = [a for a in ATTACKS if a.eps is not None and getattr(a, "variant", "") != "authors-linearity"]
"""The variant's eps is a step size, see its own test."""


def norm_of(attack):
    """Korhonen's ball is linf."""
    return getattr(attack, "norm", "linf")


each = functools.partial(pytest.mark.parametrize, "attack", ids=lambda a: a.name)
KEY = jax.random.key(7)
pytestmark = pytest.mark.usefixtures("hardly_optimised")


@functools.cache
def in_float64(attack):
    """Its result on the four images, in float64, where rounding does not decide which way a sign turns.

    JAX's checker looks on, and raises where a key is used twice.
    """
    with jax.enable_x64(True), jax.debug_key_reuse(True):
        return np.asarray(attack(score, jax.random.key(7), jnp.asarray(images(), jnp.float64)))


@each(ATTACKS)
def test_moves_images_within_the_range_and_keeps_shape_and_type(attack):
    result = in_float64(attack)
    assert result.dtype == np.float64
    assert result.min() >= 0
    assert result.max() <= 1
    assert (np.abs(result - images()).max((1, 2, 3)) > 1e-3).any()
    shape = jax.ShapeDtypeStruct((4, 6, 5, 3), jnp.float32)
    assert jax.eval_shape(lambda x: attack(score, KEY, x), shape) == shape


@each(BALLS)
def test_stays_in_its_ball_to_the_last_bit(attack):
    @settings(deadline=None, max_examples=15)
    @given(eps=st.floats(1e-4, 2 if norm_of(attack) == "l2" else 0.5), seed=st.integers(0, 50))
    def inside(eps, seed):
        x = images(seed=seed)
        x[0, 0], x[0, 1] = 0, 1
        adversarial = np.asarray(attack.replace(eps=eps)(score, jax.random.key(seed), jnp.asarray(x)))
        assert adversarial.dtype == np.float32
        assert adversarial.min() >= 0
        assert adversarial.max() <= 1
        if norm_of(attack) == "l2":
            moved = adversarial.astype(np.float64) - x.astype(np.float64)
            assert (np.linalg.norm(moved.reshape(4, -1), axis=1) <= eps).all()
        else:
            single = np.float32(eps)  # the ball as float32 arithmetic has it
            assert (adversarial <= x + single).all()
            assert (adversarial >= x - single).all()

    inside()


@each(BALLS)
def test_other_numbers_are_leaves_so_that_a_sweep_compiles_once(attack):
    numbers = {"eps": 0.25, "steps": 11} if hasattr(attack, "steps") else {"eps": 0.25}
    other = attack.replace(**numbers)
    assert jax.tree.structure(other) == jax.tree.structure(attack)
    assert set(numbers.values()) <= set(jax.tree.leaves(other))


@each(ATTACKS)
def test_repeats_itself_and_an_image_alone_gives_the_same_as_in_the_batch(attack):
    with jax.enable_x64(True):
        x = jnp.asarray(images(), jnp.float64)
        np.testing.assert_array_equal(attack(score, KEY, x), in_float64(attack))
        if attack.couples:
            return
        keys = jax.vmap(functools.partial(jax.random.fold_in, KEY))(jnp.arange(4))
        for i in (0, 3):
            alone = attack(score, keys[i : i + 1], x[i : i + 1])
            np.testing.assert_allclose(alone[0], in_float64(attack)[i], atol=1e-9)


@each(ATTACKS)
def test_chunks_give_the_same_as_the_whole_and_coupled_images_refuse_them(attack):
    with jax.enable_x64(True):
        x = jnp.asarray(images(), jnp.float64)
        if attack.couples:
            with pytest.raises(ValueError, match="looks at a batch as a whole and cannot run in chunks of 3"):
                attack(score, KEY, x, chunk=3)
        else:  # four images in chunks of three: the last chunk is filled up
            np.testing.assert_allclose(attack(score, KEY, x, chunk=3), in_float64(attack), atol=1e-9)


WITH_GRADIENTS = [a for a in BALLS if not isinstance(a, (attacks.square, attacks.nes, attacks.korhonen))]
"""Those whose few steps make use of all of a ball."""


@each([a for a in WITH_GRADIENTS if getattr(a, "direction", "") in ("raise", "lower")])
def test_a_larger_ball_gains_more(attack):
    way, small = 1 if attack.direction == "raise" else -1, 0.02 if attack.norm == "l2" else 1 / 255
    with jax.enable_x64(True):
        x = jnp.asarray(images(), jnp.float64)
        moved = [score(attack.replace(eps=small * k)(score, KEY, x)) - score(x) for k in (1, 2, 4, 8)]
    assert (np.diff(way * np.stack(moved), axis=0, prepend=0) > 0).all()


def compare_device_counts():
    """Every attack on eight images spread over 1, 2 and 8 devices, in float64."""
    x, devices = jnp.asarray(images(8), jnp.float64), jax.devices()
    assert len(devices) == 8
    for attack in ATTACKS:
        results = []
        for count in (1, 2, 8):
            mesh = jax.sharding.Mesh(np.array(devices[:count]), ("batch",))
            spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
            result = attack(score, KEY, jax.device_put(x, spread))
            assert result.sharding.is_equivalent_to(spread, 4), f"{attack.name} on {count}: {result.sharding}"
            results.append(np.asarray(result))
        for result in results[1:]:
            np.testing.assert_allclose(result, results[0], atol=1e-9, err_msg=attack.name)


@pytest.mark.slow  # test_devices.py has the same for an evaluation under several attacks
def test_results_do_not_depend_on_the_number_of_devices():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
    environment = {**os.environ, **flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    command = [sys.executable, __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


if __name__ == "__main__":
    compare_device_counts()
