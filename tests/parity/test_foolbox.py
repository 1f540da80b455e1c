"""Our attacks against those of Foolbox 3.3.4 (Rauber et al. 2020), an independent implementation, on one score.
Foolbox attacks classifiers: a model with logits [threshold, score] and label 0 makes its loss rise with the score."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import MIX, WEIGHTS, images, score

from robust_iqa_jax.attacks import carlini_wagner, fgsm, mifgsm, pgd

torch = pytest.importorskip("torch", reason="foolbox is compared through PyTorch (extra: parity)")
with warnings.catch_warnings():
    # foolbox imports scipy.ndimage.filters, deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    foolbox = pytest.importorskip("foolbox", reason="foolbox 3.3.4 is not installed")
    from foolbox import attacks as theirs
    from foolbox.attacks.gradient_descent_base import normalize_lp_norms

# Foolbox cuts its iterates to [0,1], we cut what the scorer sees: pixels stay off black and white here
X = 0.35 + 0.3 * images(6).astype(np.float64)
EPS = {"linf": 0.2, "l2": 0.8}


class Logits(torch.nn.Module):
    """[threshold, score] for each image, the twin of small_score."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = torch.as_tensor(threshold)

    def forward(self, x):
        flat = x.permute(0, 2, 3, 1).flatten(1)
        values = torch.tanh(flat @ torch.as_tensor(MIX)).sum(1) + flat @ torch.as_tensor(WEIGHTS.ravel())
        return torch.stack([self.threshold, values], 1)


def run_theirs(attack, threshold, **epsilon):
    model = foolbox.PyTorchModel(Logits(threshold).eval(), bounds=(0, 1), device="cpu")
    x, labels = torch.as_tensor(X).permute(0, 3, 1, 2), torch.zeros(len(X), dtype=torch.long)
    return attack.run(model, x, foolbox.criteria.Misclassification(labels), **epsilon).permute(0, 2, 3, 1).numpy()


def run_ours(attack):
    with jax.enable_x64(True):
        return np.asarray(attack(score, jax.random.key(0), jnp.asarray(X)))


@pytest.fixture(scope="module")
def clean():
    with jax.enable_x64(True):
        return np.array(score(jnp.asarray(X)))


@pytest.mark.parametrize(("norm", "name"), [("linf", "LinfFastGradientAttack"), ("l2", "L2FastGradientAttack")])
def test_fgsm(norm, name, clean):
    expected = run_theirs(getattr(theirs, name)(), clean, epsilon=EPS[norm])
    np.testing.assert_allclose(run_ours(fgsm(EPS[norm], norm=norm)), expected, atol=1e-10)


@pytest.mark.parametrize("steps", [2, 20])
@pytest.mark.parametrize(("norm", "name"), [("linf", "LinfPGD"), ("l2", "L2PGD")])
def test_pgd_from_the_clean_image(norm, name, steps, clean):
    attack = getattr(theirs, name)(rel_stepsize=2.5 / steps, steps=steps, random_start=False)
    ours = run_ours(pgd(EPS[norm], steps, norm=norm, random_start=False))
    np.testing.assert_allclose(ours, run_theirs(attack, clean, epsilon=EPS[norm]), atol=1e-10)


def test_mifgsm_once_foolbox_accumulates_gradients_over_their_l1_norm_as_its_paper_does(clean):
    class OfThePaper(theirs.LinfMomentumIterativeFastGradientMethod):
        def normalize(self, gradients, *, x, bounds):
            return normalize_lp_norms(gradients, p=1)

    attack = OfThePaper(rel_stepsize=0.1, steps=10, momentum=0.8)
    ours = run_ours(mifgsm(EPS["linf"], 10, momentum=0.8))
    np.testing.assert_allclose(ours, run_theirs(attack, clean, epsilon=EPS["linf"]), atol=1e-10)


def test_carlini_wagner_finds_changes_as_small_as_foolbox_does_with_more_steps(clean):
    gain = 3.0
    attack = theirs.L2CarliniWagnerAttack(steps=200, initial_const=1e-2, abort_early=False)
    both = run_ours(carlini_wagner(gain, 100)), run_theirs(attack, clean + gain)
    ours, expected = (np.linalg.norm((found - X).reshape(len(X), -1), axis=1) for found in both)
    np.testing.assert_allclose(ours, expected, rtol=0.02)
