"""Every attack as JAX's and Python's own transformations take it: traced, mapped, differentiated, copied, compared."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attack_table import FITTED, KEY, photos, score, smallest

from robust_iqa_jax import attacks
from robust_iqa_jax.attacks.registry import ATTACKS
from robust_iqa_jax.attacks.suite import MemberResult
from robust_iqa_jax.attacks.uap import Universal

PATTERN = np.random.default_rng(0).uniform(-1, 1, (8, 8, 3)).astype(np.float32)
ALL = {name: smallest(name) for name in ATTACKS} | {"fitted": Universal(PATTERN, 0.1)}
READY = {name: attack for name, attack in ALL.items() if name not in FITTED}
every = pytest.mark.parametrize("attack", ALL.values(), ids=ALL)
each = pytest.mark.parametrize("attack", READY.values(), ids=READY)
X = photos()
IMAGES = jax.ShapeDtypeStruct(X.shape, jnp.float32)


@every
def test_it_can_be_copied_pickled_compared_hashed_and_printed(attack):
    for twin in (copy.deepcopy(attack), copy.copy(attack), pickle.loads(pickle.dumps(attack))):
        assert twin == attack
        assert hash(twin) == hash(attack)
        assert twin is not attack
    assert len({attack, copy.deepcopy(attack)}) == 1
    assert attack != "pgd"
    assert repr(attack).startswith(type(attack).__name__ + "(")
    assert "\n" not in repr(attack)
    assert len(repr(attack)) < 300


@every
def test_it_goes_through_tree_maps_whose_leaves_are_no_settings(attack):
    leaves, structure = jax.tree.flatten(attack)
    assert jax.tree.unflatten(structure, leaves) == attack
    for placeholder in (0, None, -1.0, "axis", object()):  # axes of vmap, placeholders, gradients
        made = jax.tree.map(lambda _, value=placeholder: value, attack)
        assert type(made) is type(attack)
        assert hash(made) == hash(made)
        assert "\n" not in repr(made)


def test_numbers_of_any_type_are_equal_where_their_values_are():
    numbers = [attacks.pgd(eps) for eps in (0.125, np.float32(0.125), jnp.float32(0.125), np.asarray(0.125))]
    assert len(set(numbers)) == 1
    assert attacks.pgd(0.125) != attacks.pgd(0.0625)
    assert attacks.pgd(0.125) != attacks.pgd(0.125, norm="l2")
    assert attacks.pgd(0.125) != attacks.apgd(0.125)
    assert Universal(PATTERN) == Universal(jnp.asarray(PATTERN))
    assert Universal(PATTERN) != Universal(-PATTERN)
    assert len({Universal(PATTERN), Universal(jnp.asarray(PATTERN)), Universal(PATTERN[:4])}) == 2
    assert repr(Universal(PATTERN, 0.1)) == "Universal(pattern=float32[8, 8, 3], eps=0.1, label='uap')"
    assert repr(attacks.fgsm(jnp.float32(0.125))) == "FGSM(eps=0.125, direction='raise', norm='linf')"


def test_what_a_member_of_the_suite_found_is_printed_and_hashed():
    result = MemberResult("pgd-8", jnp.asarray(X), jnp.zeros(2))
    assert repr(result) == "MemberResult(name='pgd-8')"
    assert hash(result) == hash(result)


@each
def test_by_shape_it_can_be_an_argument_mapped_and_differentiated_forwards(attack):
    assert jax.eval_shape(lambda a, k, x: a(score, k, x), attack, KEY, IMAGES) == IMAGES
    if attack.eps is not None:
        at = lambda eps: attack.replace(eps=eps)(score, KEY, X)  # noqa: E731
        assert jax.eval_shape(jax.vmap(jax.jacfwd(at)), jnp.full(3, 0.1)).shape == (3, *X.shape)


@pytest.mark.parametrize("attack", [READY[name] for name in ("pgd", "square", "color-curves")], ids=lambda a: a.name)
def test_by_shape_it_can_be_a_constant_and_mapped_over_images_keys_and_itself(attack):
    assert jax.eval_shape(jax.jit(lambda x: attack(score, 0, x)), IMAGES) == IMAGES
    keys = jax.eval_shape(lambda: jax.random.split(KEY, 3))
    mapped = jax.eval_shape(
        jax.vmap(lambda k, x: attack(score, k, x)), keys, jax.ShapeDtypeStruct((3, *X.shape), jnp.float32)
    )
    assert mapped.shape == (3, *X.shape)
    axes = jax.tree.map(lambda _: 0, attack)
    several = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 3), attack)
    run = jax.vmap(lambda a, x: a(score, KEY, x), in_axes=(axes, None))
    assert jax.eval_shape(run, several, IMAGES).shape == (3, *X.shape)


def test_mapped_over_eps_it_is_what_it_is_at_each():
    attack = READY["pgd"]
    sizes = jnp.asarray([0.02, 0.1])
    mapped = jax.vmap(lambda eps: attack.replace(eps=eps)(score, KEY, X))(sizes)
    for eps, result in zip(sizes, mapped, strict=True):
        np.testing.assert_allclose(attack.replace(eps=eps)(score, KEY, X), result, atol=1e-6)
    traced = jax.jit(lambda a: a(score, KEY, X))(attack)
    np.testing.assert_allclose(traced, attack(score, KEY, X), atol=1e-6)


def test_the_gain_can_be_differentiated_by_eps_and_by_the_attack():
    eps, h = 0.1, 1e-3
    gain = lambda eps: score(attacks.fgsm(eps)(score, KEY, X)).mean()  # noqa: E731
    by_hand = (gain(eps + h) - gain(eps - h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(gain)(eps), by_hand, rtol=1e-2)
    np.testing.assert_allclose(jax.jacfwd(gain)(eps), by_hand, rtol=1e-2)
    # A loss of one's own against the attack: its gradient is an attack of negative eps, which is no setting.
    loss = lambda a: -score(a(score, KEY, X)).mean()  # noqa: E731
    np.testing.assert_allclose(jax.grad(loss)(attacks.fgsm(eps)).eps, -by_hand, rtol=1e-2)


def test_a_distance_with_weights_is_compared_by_them_and_printed_short():
    weights = jax.tree_util.Partial(lambda w, x, y: (w * (x - y) ** 2).sum((1, 2, 3)), jnp.ones((9, 3)))
    one, other = attacks.perceptual(distance=weights), attacks.perceptual(distance=weights)
    assert one == other
    assert hash(one) == hash(other)
    assert "\n" not in repr(one)
    assert len(repr(one)) < 300
