"""Functions outside JAX as scorers, compared with the same score written in JAX (small_score)."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import MIX, WEIGHTS, gradient, images, score, value

import robust_iqa_jax as riqa

X = images(3)
PGD = riqa.attacks.pgd(8 / 255, steps=3)
SQUARE = riqa.attacks.square(8 / 255, queries=12)


def test_a_numpy_function_scores_as_the_same_one_in_jax_also_inside_programs():
    scorer = riqa.wrap(value, score_range=(-200, 200))
    np.testing.assert_allclose(scorer(X), score(X), rtol=1e-5)
    np.testing.assert_allclose(jax.jit(scorer)(X), score(X), rtol=1e-5)
    mapped = jax.vmap(scorer)(jnp.stack([X, X[::-1]]))
    np.testing.assert_allclose(mapped, np.stack([value(X), value(X[::-1])]), rtol=1e-5)
    assert scorer.score_range == (-200, 200)
    assert repr(scorer) == "ForeignScorer(value, black-box, scores -200 to 200)"


def test_a_black_box_attack_finds_what_it_finds_on_the_score_in_jax():
    same = SQUARE(score, 0, X)
    np.testing.assert_array_equal(SQUARE(riqa.wrap(value), 0, X), same)
    assert (value(same) > value(X)).all()


def test_a_supplied_gradient_gives_what_pgd_gives_on_the_score_in_jax():
    expected = PGD(score, 0, X)
    np.testing.assert_allclose(PGD(riqa.wrap(value, gradient=gradient), 0, X), expected, atol=1e-6)
    slopes = jax.grad(lambda x: (jnp.arange(1, 4) * riqa.wrap(value, gradient=gradient)(x)).sum())(X)
    np.testing.assert_allclose(slopes, np.arange(1, 4)[:, None, None, None] * gradient(X), rtol=1e-5)


def test_layout_single_images_and_8_bit_pixels_are_what_the_function_sees():
    seen = []

    def channels_first(x):
        seen.append((x.shape, x.dtype))
        return value(np.moveaxis(x, 1, -1))

    def moved(x):
        return np.moveaxis(gradient(np.moveaxis(x, 1, -1)), -1, 1)

    np.testing.assert_allclose(riqa.wrap(channels_first, layout="NCHW")(X), score(X), rtol=1e-5)
    assert seen[-1] == ((3, 3, 6, 5), np.float32)
    np.testing.assert_allclose(
        PGD(riqa.wrap(channels_first, gradient=moved, layout="NCHW"), 0, X), PGD(score, 0, X), atol=1e-6
    )
    one = riqa.wrap(lambda image: float(value(image[None])[0]), batched=False, name="one by one")
    np.testing.assert_allclose(one(X), score(X), rtol=1e-5)
    whole = riqa.wrap(lambda x: x.astype(float).mean((1, 2, 3)) if x.dtype == np.uint8 else None, pixels="uint8")
    np.testing.assert_allclose(whole(X), np.round(255 * X).mean((1, 2, 3)), rtol=1e-6)


def test_lower_better_changes_the_sign_of_scores_gradients_and_scale():
    scorer = riqa.wrap(value, gradient=gradient, lower_better=True, score_range=(0, 100))
    np.testing.assert_allclose(scorer(X), -score(X), rtol=1e-5)
    np.testing.assert_allclose(jax.grad(lambda x: scorer(x).sum())(X), -gradient(X), rtol=1e-5)
    assert (scorer.score_range, scorer.lower_better) == ((-100, 0), False)


def test_a_white_box_attack_without_gradients_names_those_that_need_none():
    message = "scorer: value has no gradient, .* attack it with square or nes, .* or give its gradient to riqa.wrap"
    for attack in (PGD, riqa.attacks.fgsm(), riqa.attacks.suite()):
        with pytest.raises(ValueError, match=message) as raised:
            attack(riqa.wrap(value), 0, X)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: value(x)[:, None], r"got shape \(3, 1\); take \[:, 0\] of it"),
        (lambda x: value(x).astype(int), "got int"),
        (lambda x: list(value(x)), "got a list"),
        (lambda x: None, "got NoneType"),
        (lambda x: np.full(len(x), np.nan), "the score of image 0 is nan"),
    ],
)
def test_an_answer_that_is_no_score_is_one_line_before_any_program_runs(function, message):
    for call in (riqa.wrap(function), jax.jit(riqa.wrap(function)), lambda x: SQUARE(riqa.wrap(function), 0, x)):
        with pytest.raises(ValueError, match=f"a score function must return one float a photo, .*{message}"):
            call(X)


def test_a_score_that_is_no_number_for_some_photos_only_is_named():
    """The first question, with noise, finds nothing."""
    scorer = riqa.wrap(lambda x: np.where(x.max((1, 2, 3)) > 0, value(x), np.nan))
    with_black = X * np.float32([1, 0, 1])[:, None, None, None]
    np.testing.assert_allclose(scorer(X), score(X), rtol=1e-5)
    with pytest.raises(ValueError, match=r"^scorer: <lambda>: .*; the score of image 1 is nan$"):
        scorer(with_black)
    with pytest.raises(ValueError, match="the score of image 1 is nan"):
        riqa.evaluate(scorer, with_black, SQUARE)


def test_wrong_images_gradients_and_options_are_one_line():
    scorer = riqa.wrap(value)
    with pytest.raises(ValueError, match=r"scorer: pixels in \[0, 1\] expected, got .*; divide 8-bit values by 255"):
        scorer(255 * X)
    with pytest.raises(ValueError, match=r"a gradient has the shape of the images, \(3, 6, 5, 3\); got \(3,\)"):
        riqa.wrap(value, gradient=value)(X)
    for options, message in (
        ({"layout": "HWC"}, "wrap: unknown layout 'HWC'; choose one of NHWC, NCHW"),
        ({"pixels": "int8"}, "wrap: unknown pixels 'int8'; choose one of float, uint8"),
        ({"pixels": "uint8", "gradient": gradient}, "rounding to 8 bits has no gradient"),
        ({"gradient": "autograd"}, "the gradient must be a function of images, got str"),
    ):
        with pytest.raises(ValueError, match=message):
            riqa.wrap(value, **options)
    with pytest.raises(ValueError, match="the function must be a function of images, got ndarray"):
        riqa.wrap(X)  # pyright: ignore[reportArgumentType]


def test_a_scorer_from_outside_is_evaluated_beside_one_in_jax():
    report = riqa.evaluate({"jax": score, "numpy": riqa.wrap(value)}, X, SQUARE, baseline="jax")
    first, second = report.rows
    assert first["abs_gain"] == pytest.approx(second["abs_gain"], rel=1e-4)


def test_without_pytorch_wrap_torch_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match=r"^wrap_torch: PyTorch is not installed; pip install torch$"):
        riqa.wrap_torch(value)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def in_torch(torch):
    """`small_score.score` of tensors (n, c, h, w), as a module with parameters."""

    class Score(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = torch.nn.Parameter(torch.tensor(MIX, dtype=torch.float32))
            self.weights = torch.nn.Parameter(torch.tensor(WEIGHTS.ravel(), dtype=torch.float32))

        def forward(self, x):
            flat = x.permute(0, 2, 3, 1).flatten(1)
            return (torch.tanh(flat @ self.mix).sum(1) + flat @ self.weights)[:, None]

    return Score().eval()


def test_a_torch_module_scores_and_is_attacked_as_the_same_score_in_jax(in_torch):
    scorer = riqa.wrap_torch(in_torch)
    np.testing.assert_allclose(scorer(X), score(X), rtol=1e-4)
    for attack in (PGD, riqa.attacks.apgd(8 / 255, steps=4, direction="lower")):
        np.testing.assert_allclose(value(attack(scorer, 0, X)), value(attack(score, 0, X)), rtol=1e-3)
    np.testing.assert_allclose(PGD(scorer, 0, X), PGD(score, 0, X), atol=1e-5)
    assert in_torch.mix.grad is None
    assert repr(scorer) == "ForeignScorer(Score, white-box)"


def test_preprocessing_layout_type_and_sign_are_part_of_its_gradient(in_torch):
    def channels_last(x):
        return in_torch(x.permute(0, 3, 1, 2))

    slopes = jax.grad(lambda x: riqa.wrap_torch(channels_last, layout="NHWC", lower_better=True)(x).sum())(X)
    np.testing.assert_allclose(slopes, -gradient(X), rtol=1e-3, atol=1e-3)
    scorer = riqa.wrap_torch(in_torch.double(), preprocess=lambda x: (x - 0.5) / 0.25)
    np.testing.assert_allclose(scorer(X), value((np.asarray(X, float) - 0.5) / 0.25), rtol=1e-5)
    slopes = jax.grad(lambda x: scorer(x).sum())(X)
    np.testing.assert_allclose(slopes, gradient((np.asarray(X, float) - 0.5) / 0.25) / 0.25, rtol=1e-4, atol=1e-3)


def test_a_module_in_training_mode_and_scores_without_a_path_are_one_line(in_torch, torch):
    with pytest.raises(ValueError, match=r"wrap_torch: Score is in training mode, .* call .eval\(\) first"):
        riqa.wrap_torch(in_torch.train())
    detached = riqa.wrap_torch(lambda x: x.mean((1, 2, 3)).detach(), name="detached")
    with pytest.raises(ValueError, match="scorer: detached: its scores do not depend on the images by a path"):
        PGD(detached, 0, X)
