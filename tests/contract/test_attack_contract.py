"""What every attack promises whatever it does: range, ball, type, keys, chunks, devices, JAX's strict settings.
An attack joins by a line in TABLE; run as a script, this file compares device counts (see the last test)."""

import contextlib
import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attack_table import SLOW, smallest
from host_devices import host_devices
from hypothesis import given, settings
from hypothesis import strategies as st
from small_score import images, score

from robust_iqa_jax import attacks
from robust_iqa_jax.attacks.registry import ATTACKS

SETTINGS = {
    "pgd": {"eps": 0.1, "restarts": 1},
    "pgd authors-linearity": {"eps": 0.1, "restarts": 1, "variant": "authors-linearity"},
    "pgd invert": {"eps": 0.1, "direction": "invert"},
    "pgd opposite": {"eps": 0.9, "norm": "l2", "restarts": 2, "keep_best": True, "direction": "opposite"},
    "fgsm": {"eps": 0.1},
    "fgsm lower": {"eps": 0.9, "norm": "l2", "direction": "lower"},
    "i-fgsm": {"eps": 0.1},
    "mi-fgsm": {"eps": 0.1, "keep_best": True, "direction": "change"},
    "mi-fgsm raw": {"eps": 0.9, "norm": "l2", "normalise": False},
    "ami-fgsm": {"eps": 0.1},
    "apgd": {"eps": 0.1, "steps": 5, "restarts": 1},
    "apgd l2": {"eps": 0.9, "steps": 5, "norm": "l2", "restarts": 2},
    "carlini-wagner": {"gain": 1.0, "steps": 5, "searches": 2},
    "fmn": {"gain": 1.0, "steps": 5},
    "ioi": {},
    "pgd reverse": {"eps": 0.1, "direction": "reverse"},
    "multi-square": {"eps": 0.3, "queries": 5},
    "sparse-rs": {},
    "patch-rs": {},
    "gamma-unsharp": {},
    "stadv adam": {"optimizer": "adam"},
    "stadv authors": {"flow": "authors", "shared": True, "optimizer": "adam"},
    "korhonen": {"eps": 0.1},
    "korhonen authors": {"variant": "authors"},
    "perceptual": {},
    "madc": {"steps": 8},
    "color-curves": {},
    "square": {"eps": 0.3, "queries": 40},
    "square l2": {"eps": 0.3, "queries": 5, "norm": "l2"},
    "nes": {"eps": 0.1},
    "uniform-noise": {"eps": 0.1},
    "gaussian-noise": {"eps": 0.9, "norm": "l2"},
    "uap": {"eps": 0.1},
    "uap-cumulative": {"eps": 0.1},
    "jpeg": {"quality": 50},
    "quantise": {},
    "suite": {},
    "stadv": {},
    "uap-generative": {},
    "facpa": {},
}
TABLE = {case: smallest(case.split()[0], **chosen) for case, chosen in SETTINGS.items()}
each = pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case in SLOW else case for case in TABLE]
)
KEY = jax.random.key(7)


@contextlib.contextmanager
def strict():
    """float64, where rounding does not decide which way a sign turns; a key used twice or a promoted rank raises."""
    with jax.enable_x64(True), jax.debug_key_reuse(True), jax.numpy_rank_promotion("raise"):
        yield


@functools.cache
def ready(case):
    """The attack, fitted on the four images where it has to be."""
    attack = TABLE[case]
    if not hasattr(attack, "fit"):
        return attack
    with strict():
        return attack.fit(score, KEY, jnp.asarray(images(), jnp.float64))


@functools.cache
def result(case):
    """What it makes of the four images."""
    with strict():
        return np.asarray(ready(case)(score, KEY, jnp.asarray(images(), jnp.float64)))


def test_every_attack_is_in_the_table():
    assert {case.split()[0] for case in TABLE} == set(ATTACKS)


@each
def test_moves_images_within_the_range_and_keeps_shape_and_type(case):
    assert result(case).dtype == np.float64
    assert result(case).min() >= 0
    assert result(case).max() <= 1
    assert (np.abs(result(case) - images()).max((1, 2, 3)) > 1e-3).any()
    shape = jax.ShapeDtypeStruct((4, 6, 5, 3), jnp.float32)
    assert jax.eval_shape(lambda x: ready(case)(score, KEY, x), shape) == shape


@each
def test_repeats_itself_and_does_not_look_at_an_images_neighbours(case):
    others = images()
    others[[0, 2]] = images(2, seed=5)
    with strict():
        again, beside_others = (ready(case)(score, KEY, jnp.asarray(x, jnp.float64)) for x in (images(), others))
    np.testing.assert_array_equal(again, result(case))
    if not ready(case).couples:
        np.testing.assert_allclose(beside_others[1::2], result(case)[1::2], atol=1e-12)


@pytest.mark.parametrize("case", ["pgd", "square", "uniform-noise"])
def test_chunks_change_nothing(case):
    # Four images in chunks of three: the last one runs among copies of itself. Each has the key that it has alone.
    keys = jax.vmap(functools.partial(jax.random.fold_in, KEY))(jnp.arange(4))
    with strict():
        chunked = ready(case)(score, keys, jnp.asarray(images(), jnp.float64), chunk=3)
    np.testing.assert_allclose(chunked, result(case), atol=1e-9)


@each
def test_coupled_images_refuse_chunks(case):
    coupled = case in ("pgd invert", "pgd reverse", "stadv authors")
    assert ready(case).couples == coupled
    if coupled:
        with pytest.raises(ValueError, match="looks at a batch as a whole and cannot run in chunks of 3"):
            ready(case)(score, KEY, images(), chunk=3)


BALLS = ("pgd", "pgd opposite", "ami-fgsm", "apgd l2", "square l2", "nes", "korhonen", "gaussian-noise")
"""One or two of each way to stay in a ball; that of pgd is all of attacks.gradient's."""


@pytest.mark.parametrize("case", BALLS)
def test_stays_in_its_ball_to_the_last_bit(case):
    attack = TABLE[case]

    @settings(deadline=None, max_examples=10)
    @given(eps=st.floats(1e-4, 2 if attack.norm == "l2" else 0.5), seed=st.integers(0, 50))
    def inside(eps, seed):
        x = images(seed=seed)
        x[0, 0], x[0, 1] = 0, 1
        adversarial = np.asarray(attack.replace(eps=eps)(score, jax.random.key(seed), jnp.asarray(x)))
        assert adversarial.dtype == np.float32
        assert adversarial.min() >= 0
        assert adversarial.max() <= 1
        if attack.norm == "l2":
            moved = adversarial.astype(np.float64) - x.astype(np.float64)
            assert (np.linalg.norm(moved.reshape(4, -1), axis=1) <= eps).all()
        else:
            single = np.float32(eps)  # the ball as float32 arithmetic has it
            assert (adversarial <= x + single).all()
            assert (adversarial >= x - single).all()

    inside()


@pytest.mark.parametrize("case", [case for case in TABLE if TABLE[case].eps is not None])
def test_its_numbers_are_leaves_so_that_a_sweep_compiles_once(case):
    attack = TABLE[case]
    numbers = {
        name: value for name, value in {"eps": 0.25, "steps": 11}.items() if name in ATTACKS[case.split()[0]].settings
    }
    other = attack.replace(**numbers)
    assert jax.tree.structure(other) == jax.tree.structure(attack)
    assert set(numbers.values()) <= set(jax.tree.leaves(other))


@pytest.mark.parametrize("case", ["pgd", "fgsm lower", "mi-fgsm raw", "ami-fgsm", "apgd l2"])
def test_a_larger_ball_gains_more(case):
    attack, small = TABLE[case], 0.02 if TABLE[case].norm == "l2" else 1 / 255
    way = -1 if attack.direction == "lower" else 1
    with strict():
        x = jnp.asarray(images(), jnp.float64)
        moved = [score(attack.replace(eps=small * k)(score, KEY, x)) - score(x) for k in (1, 2, 4, 8)]
    assert (np.diff(way * np.stack(moved), axis=0, prepend=0) > 0).all()


def compare_device_counts():
    """Every attack on eight images spread over 1, 2 and 8 devices, in float64."""
    x, devices = jnp.asarray(images(8), jnp.float64), jax.devices()
    assert len(devices) == 8
    for case, attack in TABLE.items():
        if case in SLOW or hasattr(attack, "fit"):
            continue
        results = []
        for count in (1, 2, 8):
            mesh = jax.sharding.Mesh(np.array(devices[:count]), ("batch",))
            spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
            result = attack(score, KEY, jax.device_put(x, spread))
            assert result.sharding.is_equivalent_to(spread, 4), f"{case} on {count}: {result.sharding}"
            results.append(np.asarray(result))
        for result in results[1:]:
            np.testing.assert_allclose(result, results[0], atol=1e-9, err_msg=case)


@pytest.mark.slow  # test_devices.py has the same for an evaluation under several attacks
def test_results_do_not_depend_on_the_number_of_devices():
    flags = host_devices(8) | {"JAX_ENABLE_X64": "1"}
    environment = {**os.environ, **flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_members_of_the_suite_share_their_keys_with_it_which_is_no_reuse_by_mistake():
    with strict():
        members = smallest("suite").each(score, KEY, jnp.asarray(images(), jnp.float64))
    assert [member.name for member in members] == [
        "pgd-2-restarts2-best",
        "apgd-2-restarts2",
        "mi-fgsm-2-best",
        "square-5",
    ]


def test_a_control_needs_no_score():
    assert attacks.uniform_noise(0.1)(None, KEY, images()).shape == (4, 6, 5, 3)


if __name__ == "__main__":
    compare_device_counts()
