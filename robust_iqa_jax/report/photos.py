"""Trained models on labelled photos, each at its own input size: what `riqa evaluate`, suites and studies run.
Accuracy is of all photos, gains are of some of them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.eot import EOT
from robust_iqa_jax.attacks.transfer import Transfer
from robust_iqa_jax.data.images import at_size
from robust_iqa_jax.data.photo_set import PhotoSet, evenly_spread
from robust_iqa_jax.defenses.purification import Defense, Purified
from robust_iqa_jax.devices import Count, Devices, local_devices
from robust_iqa_jax.evaluation.predictions import timed_predictions
from robust_iqa_jax.evaluation.results import ResultFolder
from robust_iqa_jax.evaluation.suite import SuiteConfig, SuiteData
from robust_iqa_jax.models.scorer import AnyScorer, Scorer
from robust_iqa_jax.report.evaluate import evaluate, parameters, run_facts
from robust_iqa_jax.report.files import Report
from robust_iqa_jax.report.summarise import merge
from robust_iqa_jax.report.types import BLIND, FROM, ModelFacts

OnProgress = Callable[[str, int, int], None]
"""Called after each attacked batch: model, images of the batch, images in all that are attacked."""


@dataclass(frozen=True)
class Inference:
    """Defences that stand in front of the models when they score.

    Attributes:
      defenses: each in front of each model.
      adaptive: whether attacks are also made through the defence; if not, only on the model without it.
      samples: draws that an adaptive attack averages over at each point, where the defence draws.
    """

    defenses: Sequence[Defense] = ()
    adaptive: bool = False
    samples: int = 16


@dataclass(frozen=True, eq=False)
class _Case:
    """A model as it is evaluated: bare, or `defends` a bare one."""

    name: str
    scorer: Scorer | Purified
    bare: Scorer
    attacks: Sequence[Attack]
    defends: str | None = None


def evaluate_photos(
    scorers: Mapping[str, Scorer],
    test: PhotoSet,
    attacks_on: Callable[[AnyScorer], Sequence[Attack]],
    attack_photos: int | None = None,
    seed: int = 0,
    *,
    baselines: Mapping[str, str] | None = None,
    masking: bool = False,
    inference: Inference = Inference(),
    transfer: bool = False,
    results: ResultFolder | None = None,
    batch_size: int = 8,
    devices: Count = 1,
    on_progress: OnProgress = lambda model, images, total: None,
) -> Report:
    """Evaluate several models on the same photos under the same attacks.

    Args:
      scorers: by name.
      test: labelled photos.
      attacks_on: scorer -> attacks, as many for each.
      attack_photos: how many photos are attacked, None for all.
      seed: of the attacks' random starts.
      baselines: name -> the undefended model whose range scales its headline; the first model where not given.
      inference: defences; each model behind each of them is a model more, NAME+DEFENCE, whose gains under blind attacks
        are those of attacks called NAME-blind.
      transfer: whether each model also meets the attacks that were made on each of the others, called
        ATTACK-from-MODEL.
      masking: whether the model facts get "masking", the findings of the checks for masked gradients by name.
      results: where finished parts are stored.
      batch_size: most images a call on a device.
      devices: local ones that share each batch, or "all".
      on_progress: see OnProgress.

    Returns:
      rows and per-image scores of all models; in the model facts also "baseline", "label", "parameters", and
      "test_seconds" for the "test_photos" of the accuracy, decoding and compilation included.
    """
    attacked = test.subset(evenly_spread(len(test), attack_photos))
    placed = local_devices(devices)
    cases = [case for name, scorer in scorers.items() for case in _cases(name, scorer, attacks_on, inference, placed)]
    if transfer:
        cases = _with_transfers(cases, placed)
    predictions = timed_predictions({case.name: case.scorer for case in cases}, test, placed, results)
    reports, first = [], next(iter(scorers))
    total = sum(len(case.attacks) for case in cases) * len(attacked)
    for case in cases:
        name, bare = case.name, case.bare
        on_progress(name, 0, total)
        (scores, seconds), baseline = predictions[name], (baselines or {}).get(case.defends or name, first)
        report = evaluate(
            case.scorer,
            pixels(attacked, bare.spec.input_size),
            case.attacks,
            mos=attacked.scores,
            baseline=predictions[baseline][0],
            key=seed,
            batch_size=batch_size,
            devices=devices,
            names=list(attacked.names),
            model=name,
            accuracy_pair=(scores, test.scores),
            masking=masking,
            results=results,
            on_batch=lambda images, name=name: on_progress(name, images, total),
        )
        facts = {
            "baseline": baseline,
            **({} if case.defends is None else {"defends": case.defends}),
            "label": bare.label,
            "parameters": parameters(bare),
            "test_seconds": seconds,
            "test_photos": len(test),
        }
        report.models[name].update(cast(ModelFacts, facts))
        reports.append(report)
    of = {"photos_of": test.source} if test.source else {}
    run = run_facts(seed, batch_size, placed.count, labels=test.label, **of)
    return dataclasses.replace(merge(reports), run=run)


def _cases(
    name: str,
    scorer: Scorer,
    attacks_on: Callable[[AnyScorer], Sequence[Attack]],
    inference: Inference,
    placed: Devices,
) -> list[_Case]:
    """A model, and the same behind each defence."""
    prepared = scorer.prepare()
    attacks = attacks_on(prepared)
    source = placed.copies(prepared)
    cases = [_Case(name, scorer, scorer, attacks)]
    for defense in inference.defenses:
        met: list[Attack] = [Transfer(attack, source, label=BLIND) for attack in attacks]
        if inference.adaptive and defense.random:
            met += [EOT(attack, inference.samples, label="") for attack in attacks]
        elif inference.adaptive:
            met += attacks
        cases.append(_Case(f"{name}+{defense.name}", defense.on(prepared), scorer, met, name))
    return cases


def _with_transfers(cases: Sequence[_Case], placed: Devices) -> list[_Case]:
    """The cases, each model under the attacks on every other too; models behind defences are no sources."""
    made = {
        case.name: [Transfer(attack, source, label=f"{FROM}{case.name}") for attack in case.attacks]
        for case in cases
        if case.defends is None
        for source in (placed.copies(case.bare.prepare()),)
    }

    def met(case: _Case) -> list[Attack]:
        return [attack for name in made if name not in (case.name, case.defends) for attack in made[name]]

    return [dataclasses.replace(case, attacks=[*case.attacks, *met(case)]) for case in cases]


def evaluate_suite(
    suite: SuiteConfig,
    scorers: Mapping[str, Scorer],
    line: SuiteData,
    rest: PhotoSet,
    test: PhotoSet,
    results: ResultFolder,
    *,
    devices: Count = 1,
    on_progress: OnProgress = lambda model, images, total: None,
) -> Report:
    """Run what is missing of a suite on one of its data.

    Args:
      suite: attacks, seed, baselines, checks.
      scorers: the suite's models, by name.
      line: of the suite's data.
      rest, test: its photos; universal attacks are fitted on some of the first, the second are evaluated on.
      results: where finished parts are stored.
      devices, on_progress: as in `evaluate_photos`.
    """
    fit = rest.subset(evenly_spread(len(rest), line.fit_photos)) if line.fit_photos else None

    def attacks_on(scorer: AnyScorer) -> list[Attack]:
        photos = None if fit is None else jnp.asarray(pixels(fit, scorer.spec.input_size))
        key = jax.random.fold_in(jax.random.key(suite.seed), 1)
        return [attack for row in suite.attacks for attack in row.on(scorer, key, photos, results)]

    return evaluate_photos(
        scorers,
        test,
        attacks_on,
        line.attack_photos,
        suite.seed,
        baselines=suite.baselines,
        masking=suite.masking,
        transfer=suite.transfer,
        results=results,
        batch_size=suite.batch_size,
        devices=devices,
        on_progress=on_progress,
    )


def pixels(photos: PhotoSet, size: tuple[int, int]) -> Float[np.ndarray, "n h w 3"]:
    """All photos at one size, in [0,1]."""
    return np.stack([at_size(photos.load(i), size) for i in range(len(photos))])
