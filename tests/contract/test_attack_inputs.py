"""What attacks, fits and evaluations are handed: settings, keys, pixels, score functions; one check for all."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attack_table import KEY, attacked, photos, score, smallest

import robust_iqa_jax as riqa
from robust_iqa_jax import attacks
from robust_iqa_jax.attacks.arguments import example_keys
from robust_iqa_jax.attacks.gradient import FGSM
from robust_iqa_jax.attacks.registry import ATTACKS, as_attacks

every = pytest.mark.parametrize("name", ATTACKS)
ENTRIES = ("pgd", "uap", "jpeg")
"""Attacks that call the score function in a way of their own: in an attack, in a fit, not at all."""
SIZED = [name for name in ATTACKS if ATTACKS[name].eps is not None or name == "korhonen"]


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize(
    ("eps", "message"),
    [
        (4, r"eps is in \[0, 1\] pixel units, got 4; did you mean 4/255\?"),
        (1.01, "pixel units, got 1.01"),
        (jnp.inf, "eps must be above 0 and finite, got inf"),
        (float("nan"), "eps must be above 0 and finite, got nan"),
        (0, "eps must be above 0"),
        ("4/255", "eps must be a number such as 4/255, got '4/255'"),
    ],
)
def test_an_eps_that_is_no_share_of_the_pixel_range_is_refused(name, eps, message):
    with pytest.raises(ValueError, match=f"^attack: .*{message}"):
        smallest(name, eps=eps)


@pytest.mark.parametrize("name", SIZED)
def test_a_very_large_eps_asks_whether_n_255ths_were_meant(name):
    with pytest.warns(UserWarning, match="did you mean 4/255"):
        smallest(name, eps=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        smallest(name, eps=32 / 255)


def test_an_l2_ball_is_a_length_and_may_be_long():
    for attack in (attacks.pgd, attacks.apgd, attacks.square, attacks.nes, attacks.suite, attacks.gaussian_noise):
        assert attack(5.0, norm="l2").eps == 5.0
        with pytest.raises(ValueError, match="above 0 and finite, got inf"):
            attack(jnp.inf, norm="l2")


@pytest.mark.parametrize(
    "settings",
    [("pgd", "steps"), ("i-fgsm", "step_size"), ("mi-fgsm", "momentum"), ("carlini-wagner", "gain"), ("nes", "sigma")],
)
def test_other_settings_must_be_finite_too(settings):
    with pytest.raises(ValueError, match=f"attack: {settings[1]} must be finite, got inf"):
        smallest(settings[0], **{settings[1]: float("inf")})


def same(one, other):
    np.testing.assert_array_equal(one, other)


def test_seeds_and_old_keys_are_keys():
    noise, x = attacks.uniform_noise(), photos(3)
    expected = noise(score, jax.random.key(5), x)
    for key in (5, np.int64(5), jnp.int32(5), jax.random.PRNGKey(5), np.asarray(jax.random.PRNGKey(5))):
        same(noise(score, key, x), expected)
    three = jax.random.split(jax.random.key(1), 3)
    same(noise(score, jax.random.key_data(three), x), noise(score, three, x))
    same(jax.jit(lambda seed: noise(score, seed, x))(5), expected)
    pattern = smallest("uap")
    same(pattern.fit(score, 5, x).pattern, pattern.fit(score, jax.random.PRNGKey(5), x).pattern)
    assert (
        riqa.evaluate(score, x, attacks=noise, key=5).rows
        == riqa.evaluate(score, x, attacks=noise, key=jax.random.key(5)).rows
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("5", r"a key such as jax.random.key\(0\), or a whole number for its seed, expected, got str '5'"),
        (None, "expected, got NoneType None"),
        (True, "expected, got bool True"),
        (0.5, "expected, got float 0.5"),
        (np.zeros((3, 8, 8, 3), np.float32), r"got float32 of shape \(3, 8, 8, 3\)"),
        (jax.random.split(jax.random.key(0), 2), r"one key or 3 keys \(one an image\) expected, got \(2,\)"),
        (jnp.zeros((2, 2), jnp.uint32), "one key or 3 keys"),
    ],
)
def test_what_is_no_key_is_named(key, message):
    with pytest.raises(ValueError, match=f"^attack: .*{message}"):
        attacks.fgsm()(score, key, photos(3))


def test_a_fit_takes_one_key():
    with pytest.raises(ValueError, match=r"attack: one key expected, got \(2,\)"):
        smallest("uap").fit(score, example_keys(0, 2), photos())


@every
def test_no_images_are_refused_in_a_line(name):
    for empty in (np.zeros((0, 8, 8, 3), np.float32), np.zeros((2, 0, 8, 3), np.float32)):
        with pytest.raises(ValueError, match=r"attack: one image or more expected, got shape \("):
            attacked(smallest(name), score, empty)


def test_no_images_are_refused_by_what_is_built_on_attacks():
    empty = np.zeros((0, 8, 8, 3), np.float32)
    with pytest.raises(ValueError, match="attack: one image or more expected"):
        attacks.gradient_masking(score, 0, empty)
    with pytest.raises(ValueError, match="attack: one image or more expected"):
        attacks.suite().each(score, 0, empty)
    with pytest.raises(ValueError, match="evaluate: one image or more expected"):
        riqa.evaluate(score, empty, attacks="pgd")


@pytest.mark.parametrize("name", ENTRIES)
def test_pixels_of_another_range_are_refused_alike(name):
    for bad, message in [
        (photos() * 255, r"pixels in \[0, 1\] expected, got .*; divide 8-bit values by 255"),
        (np.full((2, 8, 8, 3), np.nan, np.float32), "images hold NaN"),
        (photos()[0], r"for one image write image\[None\]"),
        (np.zeros((2, 8, 8, 3), np.uint8), "divide 8-bit images by 255"),
    ]:
        with pytest.raises(ValueError, match=f"^attack: .*{message}"):
            attacked(smallest(name), score, bad)


BAD_SCORES = {
    "a column": (lambda x: score(x)[:, None], r"shape \(2,\); got shape \(2, 1\); take \[:, 0\] of it"),
    "three columns": (lambda x: x.mean((1, 2)), r"got shape \(2, 3\)"),
    "a scalar": (lambda x: x.mean(), r"got shape \(\)"),
    "one for all": (lambda x: x.mean()[None], r"got shape \(1,\)"),
    "a list": (lambda x: [score(x)], "got a list"),
    "a tuple": (lambda x: (score(x), score(x)), "got a tuple"),
    "integers": (lambda x: score(x).astype(int), "got int32"),
    "nothing": (lambda x: None, "got NoneType"),
    "NaN": (lambda x: score(x) * jnp.nan, "the score of image 0 is nan"),
    "infinity": (lambda x: score(x) / 0, "the score of image 0 is -?inf"),
}


BAD_CASES = [(name, kind) for kind in BAD_SCORES for name in (ATTACKS if kind == "a column" else ENTRIES)]


@pytest.mark.parametrize(("name", "kind"), BAD_CASES)
def test_a_score_function_that_gives_no_float_a_photo_is_told_so_alike_by_all(name, kind):
    scorer, message = BAD_SCORES[kind]
    attack = smallest(name)
    if not getattr(attack, "asks", True) and kind in ("NaN", "infinity"):
        assert attack(scorer, KEY, photos()).shape == photos().shape  # controls know its type only
        return
    with pytest.raises(ValueError, match=f"^attack: a score function must return one float a photo, .*{message}"):
        attacked(attack, scorer, photos())


def test_a_control_leaves_a_function_alone_that_refuses_its_images():
    only_numpy = lambda x: np.asarray(x).mean((1, 2, 3))  # noqa: E731
    for control in (attacks.uniform_noise(), attacks.quantise()):
        assert control(only_numpy, KEY, photos()).shape == photos().shape


@pytest.mark.parametrize("kind", ["a column", "a tuple", "integers"])
def test_the_same_for_one_image_inside_jit_and_for_an_evaluation(kind):
    scorer, message = BAD_SCORES[kind][0], "score function must return one float a photo"
    with pytest.raises(ValueError, match=f"^attack: a {message}"):
        attacks.pgd()(scorer, KEY, photos(1))
    with pytest.raises(ValueError, match=f"^attack: a {message}"):
        jax.jit(lambda x: attacks.pgd()(scorer, KEY, x))(photos())
    with pytest.raises(ValueError, match=f"^evaluate: model: a {message}"):
        riqa.evaluate(scorer, photos(), attacks=attacks.fgsm())
    with pytest.raises(ValueError, match=f"^attack: a {message}"):
        attacks.gradient_masking(scorer, KEY, photos())


def test_what_is_no_function_is_told_so():
    for call in (
        lambda: attacks.pgd()(photos(), KEY, photos()),
        lambda: smallest("uap").fit("model", KEY, photos()),
    ):
        with pytest.raises(ValueError, match=r"attack: a function from images to scores expected, got (ndarray|str)"):
            call()
    with pytest.raises(ValueError, match="evaluate: a function from images to scores expected, got str"):
        riqa.evaluate("runs/model", photos(), attacks="pgd")


def against_its_batch(x):
    """As batch normalisation in training mode does: means and variances of the batch."""
    maps = x * jnp.arange(1, 4)
    return ((maps - maps.mean((0, 1, 2))) / maps.std((0, 1, 2)) + x**2)[:, ::2].mean((1, 2, 3))


def test_a_score_that_looks_at_its_batch_is_warned_of_once():
    with pytest.warns(UserWarning, match=r"attack: the score of an image depends on its batch \(.* among copies"):
        attacks.fgsm()(against_its_batch, KEY, photos())
    attacks.fgsm()(against_its_batch, KEY, photos())  # a second warning would be an error
    with pytest.warns(UserWarning, match="evaluate: model: the score of an image depends on its batch"):
        riqa.evaluate(lambda x: against_its_batch(x), photos(), attacks=attacks.uniform_noise())
    with pytest.warns(UserWarning, match="attack: the score of an image depends on its batch"):
        smallest("uap").fit(lambda x: against_its_batch(x), KEY, photos())


def test_the_look_at_a_score_function_is_not_taken_where_it_cannot_be():
    never = lambda x: against_its_batch(x)  # noqa: E731
    attacks.fgsm()(never, KEY, photos(1))
    jax.jit(lambda x: attacks.fgsm()(never, KEY, x))(photos())

    def of_two(x):
        assert x.shape[0] == 2, "a function of two images"
        return score(x)

    assert attacks.pgd(steps=1)(of_two, KEY, photos()).shape == photos().shape
    assert attacks.pgd(steps=1)(of_two, KEY, photos(4), chunk=2).shape == photos(4).shape


def test_the_look_costs_two_runs_of_the_score_function_once():
    runs = []

    def counted(x):
        jax.debug.callback(lambda: runs.append(1))
        return score(x)

    attacks.fgsm()(counted, KEY, photos())
    jax.effects_barrier()
    first = len(runs)
    attacks.fgsm()(counted, KEY, photos())
    jax.effects_barrier()
    assert first == len(runs) - first + 2


def test_attacks_are_taken_as_people_give_them():
    given = (attacks.fgsm, FGSM, attacks.fgsm(), [attacks.fgsm()], "fgsm", ["fgsm"], ("fgsm", attacks.fgsm))
    assert all(as_attacks(one) == [attacks.fgsm()] for one in given)
    assert as_attacks(["ami-fgsm", "i-fgsm", "mifgsm"]) == as_attacks(["amifgsm", attacks.ifgsm, attacks.mifgsm])
    assert riqa.evaluate(score, photos(), attacks=attacks.fgsm).rows[0]["attack"] == "fgsm"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["pdg"], "attack: unknown attack 'pdg'; did you mean pgd"),
        (["ffgsm"], "unknown attack 'ffgsm'; did you mean fgsm"),
        ("uap", r"attack: uap is fitted on other images first: give its .fit\(scorer, key, other_images\)"),
        ([attacks.uap], "uap is fitted on other images first"),
        ([3], "attack: an attack, or its name such as 'pgd', expected, got 3"),
        (None, "an attack, or its name such as 'pgd', expected, got None"),
        ([dict], "expected, got <class 'dict'>"),
        (
            [attacks.ifgsm(), attacks.ifgsm(step_size=0.01)],
            "two attacks called i-fgsm-10 with eps 0.039.*; evaluate each alone",
        ),
    ],
)
def test_what_is_no_attack_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        as_attacks(given)


def test_an_object_that_cannot_be_hashed_is_a_score_function_too():
    class Metric:
        __hash__ = None

        def __call__(self, x):
            return score(x)

    metric = Metric()
    same(attacks.fgsm()(metric, KEY, photos()), attacks.fgsm()(score, KEY, photos()))
    assert riqa.evaluate(metric, photos(), attacks="fgsm").rows[0]["abs_gain"] > 0


def test_good_input_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("pgd", "square", "jpeg"):
            attacked(smallest(name), score, photos())
