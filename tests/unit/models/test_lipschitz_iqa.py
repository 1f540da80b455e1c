"""The Lipschitz model: every layer and every map keeps lengths or shortens them, and no attack beats the bound."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_iqa_jax import attacks
from robust_iqa_jax.evaluation.guarantee import guaranteed_change
from robust_iqa_jax.evaluation.lipschitz import cayley_spectral_norm
from robust_iqa_jax.layers import OPERATORS
from robust_iqa_jax.models import lipschitz
from robust_iqa_jax.models.lipschitz import LipschitzIQA, lipschitz_constant, margin_objective
from robust_iqa_jax.models.registry import build, init
from robust_iqa_jax.models.scorer import Calibration, PreparedScorer, Scorer
from robust_iqa_jax.models.spec import CropSpec, ModelSpec

pytestmark = pytest.mark.usefixtures("hardly_optimised", "narrow")
SIZE = (16, 24)
SPEC = ModelSpec("lipschitz", "none", (), SIZE)
RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.uniform(0, 1, (2, *SIZE, 3)), jnp.float32)
CALIBRATION = dataclasses.replace(Calibration.identity(), slope=jnp.float32(-30))


@pytest.fixture(scope="module")
def narrow():
    """Two stages, the second narrower than what it reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lipschitz, "WIDTHS", (50, 20))
        yield


@pytest.fixture(scope="module")
def module():
    return LipschitzIQA((50, 20), 2)


@pytest.fixture(scope="module")
def variables(module):
    """Drawn weights, the convolutions' far from their start."""
    drawn = jax.jit(lambda key: module.init(key, IMAGES, train=False))(jax.random.key(0))
    scale = lambda path, leaf: 3 * leaf if path[-1].key == "alpha" else leaf  # noqa: E731
    return jax.tree_util.tree_map_with_path(scale, drawn)


def test_every_convolution_has_the_norm_one(module, variables):
    made = jax.jit(lambda v: module.apply(v, IMAGES, train=False, mutable=[OPERATORS])[1])(variables)
    operators = jax.tree.leaves(made[OPERATORS], is_leaf=lambda node: hasattr(node, "taps"))
    assert len(operators) == 4
    for operator in operators:
        assert cayley_spectral_norm(operator) == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_every_map_stretches_nothing_by_power_iteration(module, variables):
    """The largest singular value of the derivative at a photo, by forward and reverse derivatives in turn."""
    for stage in (0, 1):
        f = lambda x, stage=stage: module.apply(variables, x, method="maps")[stage]  # noqa: E731

        @jax.jit
        def turn(v, f=f):
            _, along = jax.jvp(f, (IMAGES[:1],), (v,))
            back = jax.vjp(f, IMAGES[:1])[1](along)[0]
            return back / jnp.linalg.norm(back), jnp.linalg.norm(along)

        v = jnp.asarray(RNG.normal(size=(1, *SIZE, 3)), jnp.float32)
        v = v / jnp.linalg.norm(v)
        for _ in range(15):
            v, norm = turn(v)
        # the first stage keeps all lengths; the second drops channels, and next to nothing of some directions
        assert (1 - 1e-4 if stage == 0 else 0.95) < float(norm) <= 1 + 1e-4


def scorer_of(variables):
    return Scorer({"params": variables["params"], "batch_stats": {}}, CALIBRATION, SPEC)


def test_a_prepared_scorer_gives_the_same_scores(variables):
    scorer = scorer_of(variables)
    assert isinstance(scorer.prepare(), PreparedScorer)
    np.testing.assert_allclose(scorer.prepare()(IMAGES), scorer(IMAGES), rtol=1e-4)


def test_the_constant_is_written_out(variables):
    kernels = [np.asarray(variables["params"][f"scores_{i}"]["kernel"]) for i in (0, 1)]
    wanted = np.linalg.norm(kernels[0]) / np.sqrt(4 * 6) + np.linalg.norm(kernels[1]) / np.sqrt(2 * 3)
    assert float(lipschitz_constant(variables["params"], SIZE)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 4 / 255), ("l2", 0.5)])
def test_no_attack_exceeds_the_guarantee_and_the_best_comes_near(variables, norm, eps):
    guarantee = guaranteed_change(scorer_of(variables), eps, norm)
    scorer = scorer_of(variables).prepare()
    clean, gains = np.asarray(scorer(IMAGES)), []
    for attack in (attacks.pgd(eps, 10, norm=norm), attacks.apgd(eps, 10, norm=norm, direction="lower")):
        gains.append(np.abs(np.asarray(scorer(attack(scorer, 0, IMAGES))) - clean).max())
    assert max(gains) <= guarantee
    assert max(gains) > 0.05 * guarantee


def test_the_guarantee_holds_for_photos_of_other_sizes(variables):
    """A photo is resized first: weighted means in l-infinity, a stretch of its own in l2."""
    scorer = scorer_of(variables).prepare()
    photos = jnp.asarray(RNG.uniform(0.2, 0.8, (1, 9, 40, 3)), jnp.float32)
    for norm, eps in (("linf", 0.1), ("l2", 0.5)):
        guarantee = guaranteed_change(scorer_of(variables), eps, norm, size=(9, 40))
        moved = scorer(attacks.pgd(eps, 5, norm=norm)(scorer, 0, photos)) - scorer(photos)
        assert 0 < float(moved[0]) <= guarantee


def test_the_l_infinity_guarantee_does_not_depend_on_the_size(variables):
    large = Scorer(scorer_of(variables).variables, CALIBRATION, dataclasses.replace(SPEC, input_size=(64, 96)))
    assert guaranteed_change(large, 0.01) == pytest.approx(guaranteed_change(scorer_of(variables), 0.01))


def drawn_means(count=40):
    means = [RNG.normal(size=(count, width)) @ RNG.normal(size=(width, width)) for width in (50, 20)]
    mos = 50 + 10 * means[0][:, 0] - 5 * means[1][:, 3] + RNG.normal(size=count)
    return means, mos


@pytest.mark.parametrize("weight", [0.03, 1.0])
def test_the_fitted_head_is_the_least_of_what_it_says(variables, weight):
    """Against a minimiser of the written-out sum, and the guarantee of the result."""
    from scipy.optimize import minimize

    means, mos = drawn_means()
    params = lipschitz.fitted_head(variables["params"], means, mos, SIZE, weight)

    def loss(vector):
        kernels = vector[:50], vector[50:70]
        error = means[0] @ kernels[0] + means[1] @ kernels[1] + vector[70] - mos
        length = lipschitz.MARGIN_EPS * np.sqrt(3 * 16 * 24)
        parts = [length * np.linalg.norm(k) / np.sqrt(p) for k, p in zip(kernels, (4 * 6, 2 * 3), strict=True)]
        return (error**2).mean() + weight * 3 * (np.array(parts) ** 2).sum()

    kernels = [np.asarray(params[f"scores_{k}"]["kernel"], np.float64)[:, 0] for k in (0, 1)]
    found = np.concatenate([*kernels, np.asarray(params["scores_0"]["bias"], np.float64)])
    least = minimize(loss, np.zeros(71), method="BFGS", options={"gtol": 1e-9, "maxiter": 5000})
    assert loss(found) == pytest.approx(least.fun, rel=1e-5)
    assert {name: params[name] for name in params if name.startswith("stages")} == {
        name: variables["params"][name] for name in params if name.startswith("stages")
    }


def test_a_heavier_guarantee_is_a_narrower_one(variables):
    means, mos = drawn_means()
    constants = [
        float(lipschitz_constant(lipschitz.fitted_head(variables["params"], means, mos, SIZE, weight), SIZE))
        for weight in (0.01, 0.1, 1.0, 10.0)
    ]
    assert constants == sorted(constants, reverse=True)


@pytest.mark.slow
def test_the_margin_counts_the_guarantee_in_standard_deviations(module, variables):
    mos = jnp.array([1.0, 2.0])
    loss, statistics = margin_objective(None)(module.apply, variables, IMAGES - 0.5, mos, {})
    assert statistics == {"batch_stats": {}}
    grown = jax.tree_util.tree_map_with_path(
        lambda path, leaf: 5 * leaf if "scores" in path[1].key and path[-1].key == "kernel" else leaf, variables
    )
    again, _ = margin_objective(None)(module.apply, grown, IMAGES - 0.5, mos, {})
    assert float(again) == pytest.approx(float(loss), rel=1e-4), "a model gains nothing by larger or smaller scores"


def test_it_is_an_architecture_of_the_library():
    drawn = jax.eval_shape(lambda key: init(SPEC, key), jax.random.key(0))
    assert set(drawn["params"]) == {"stages_0_0", "stages_0_1", "stages_1_0", "stages_1_1", "scores_0", "scores_1"}


@pytest.mark.slow
def test_it_is_trained_and_read_back(monkeypatch, tiny_training, tmp_path):
    import robust_iqa_jax as riqa
    from robust_iqa_jax.training.closed_head import with_fitted_head
    from robust_iqa_jax.training.config import TrainConfig
    from robust_iqa_jax.training.loop import train

    monkeypatch.setattr(lipschitz, "WIDTHS", (50,))
    monkeypatch.setattr(lipschitz, "CONVOLUTIONS", 1)
    spec = dataclasses.replace(SPEC, input_size=(16, 16))
    config = TrainConfig(model=spec, steps=3, batch_size=4, accumulate=2, learning_rate=1e-2)
    trained = train(config, tiny_training, tmp_path)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert np.isfinite(losses).all()
    head = with_fitted_head(spec, trained.variables, tiny_training)["params"]["scores_0"]["kernel"]
    np.testing.assert_allclose(trained.variables["params"]["scores_0"]["kernel"], head, rtol=1e-4)
    assert guaranteed_change(riqa.load(tmp_path / "model"), 0.01) == guaranteed_change(trained, 0.01) > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size": (20, 24)}, "input sides that are multiples of 8 expected, got 20 x 24"),
        ({"crops": CropSpec()}, "it reads the whole image; drop the crops"),
    ],
)
def test_specs_that_it_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build(dataclasses.replace(SPEC, **changes))


def test_guarantees_of_no_use_are_refused(variables):
    scorer = scorer_of(variables)
    with pytest.raises(ValueError, match="unknown norm 'l1'; choose linf or l2"):
        guaranteed_change(scorer, 0.1, "l1")
    with pytest.raises(ValueError, match="eps must be finite and not negative, got -1"):
        guaranteed_change(scorer, -1)
    other = Scorer(scorer.variables, CALIBRATION, ModelSpec())
    with pytest.raises(ValueError, match="only LipschitzIQA has a closed form, not linearity"):
        guaranteed_change(other, 0.1)
