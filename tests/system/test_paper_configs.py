"""The configurations of the paper's two tables: one a row, with the settings that its authors' code has."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from quick_models import random_variables

from robust_iqa_jax import configs
from robust_iqa_jax.commands.config_file import load_config
from robust_iqa_jax.data.archives.table import ARCHIVES
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.architectures import ARCHITECTURES
from robust_iqa_jax.models.registry import build, shapes
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.report.published_tables import DEFENCES, POSITIONS
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.run import resolve
from robust_iqa_jax.training.start import initial_variables

LINEARITY = ("linearity", "resnet101", (498, 664), "norm-in-norm")
KONCEPT = ("koncept512", "inception_resnet_v2", (384, 512), "squared")
TRES = ("tres", "resnet50", (384, 512), "absolute")

# docs/sources.md 1.5, 2.1-2.3, 3.1-3.3: file -> model, loss; rate, share of the backbone, batch, epochs (TReS: of 50
# crops); block; (h, lambda, units) of NT; (eps, step in grey levels, start, label, clean ones too) of AT; share pruned
ROWS = {
    "koniq_linearity_r101": (LINEARITY, (1e-4, 0.1, 8, 30), None, None, None, 0),
    "koniq_linearity_r101_nt": (LINEARITY, (1e-4, 0.1, 8, 30), None, (6 / 255, 0.1, "normalised"), None, 0),
    "koniq_linearity_r101_at": (LINEARITY, (1e-3, 0.1, 8, 30), None, None, (4, 5, "uniform", "ssim", True), 0),
    "koniq_linearity_r101_robust_1": (LINEARITY, (1e-4, 0.1, 8, 30), ("input", 3), None, None, 0),
    "koniq_linearity_r101_robust_2": (LINEARITY, (1e-4, 0.1, 8, 30), ("stem", 64), None, None, 0),
    "koniq_linearity_r101_robust_4": (LINEARITY, (1e-4, 0.1, 8, 30), ("layer2_2", 128), None, None, 0),
    "koniq_linearity_r101_robust": (LINEARITY, (1e-4, 0.1, 8, 30), ("layer3", 200), None, None, 0),
    "koniq_linearity_r101_robust_pruned": (LINEARITY, (1e-6, 0.1, 8, 5), ("layer3", 200), None, None, 0.1),
    "koniq_koncept512": (KONCEPT, (1e-4, 1, 16, 70), None, None, None, 0),
    "koniq_koncept512_nt": (KONCEPT, (1e-4, 1, 16, 70), None, (0.01, 1e-3, "pixels"), None, 0),
    "koniq_koncept512_at": (KONCEPT, (1e-4, 1, 16, 30), None, None, (4, 5, "uniform", "none", False), 0),
    "koniq_koncept512_robust": (KONCEPT, (1e-4, 1, 16, 70), ("block8", 1040), None, None, 0),
    "koniq_koncept512_robust_pruned": (KONCEPT, (1e-5, 1, 16, 15), ("block8", 1040), None, None, 0.1),
    "koniq_tres": (TRES, (2e-5, 1, 53, 3 * 50), None, None, None, 0),
    "koniq_tres_nt": (TRES, (2e-5, 1, 53, 3 * 50), None, (0.01, 5e-4, "normalised"), None, 0),
    "koniq_tres_at": (TRES, (2e-5, 1, 53, 3 * 50), None, None, (2, 3, "uniform", "none", False), 0),
    "koniq_tres_robust": (TRES, (2e-5, 1, 53, 3 * 50), ("layer3", 512), None, None, 0),
}
CONVERTED = {"runs/resnet101", "runs/inception_resnet_v2", "runs/resnet50"}
"""ImageNet weights, see the docstrings of the three models."""


@pytest.mark.parametrize("file", ROWS)
def test_a_row_has_the_settings_of_the_reference(file):
    config = load_config(file, TrainConfig)
    (architecture, backbone, size, loss), settings, block, penalty, attack, pruned = ROWS[file]
    model, nt, at = config.model, config.gradient_norm, config.adversarial
    resolve(config, np.arange(ARCHIVES["koniq10k"].splits["training"]))  # builds the model
    assert (model.architecture, model.backbone, model.input_size) == (architecture, backbone, size)
    assert (config.loss or ARCHITECTURES[model.architecture].loss) == loss
    assert (config.learning_rate, config.backbone_factor, config.batch_size, config.epochs) == settings
    assert (None if model.block is None else (model.block.at, model.block.mid_channels)) == block
    assert (None if nt is None else (nt.h, nt.weight, nt.space)) == penalty
    found = None if at is None else (at.eps * 255, at.step_size * 255, at.start, at.label, at.keep_clean)
    assert found == attack
    assert (config.prune, config.prune_method) == (pruned, "l2")
    assert config.data in ARCHIVES
    assert config.test_group in ARCHIVES[config.data].splits


def test_the_files_are_those_of_the_rows():
    (folder,) = configs.__path__
    assert {path.stem for path in Path(folder).glob("koniq_*.py")} == set(ROWS)


def test_every_published_row_has_a_configuration_that_reports_find_beside_it():
    names = {load_config(file, TrainConfig).name for file in ROWS}
    assert len(names) == len(ROWS)
    rows = [row for table in (POSITIONS, DEFENCES) for row in table.rows]
    assert len(rows) == 7 + 12
    assert [row.label for row in rows if not names & set(row.names)] == []


@pytest.mark.parametrize("file", ROWS)
def test_a_row_starts_from_a_run_of_another_row_or_from_converted_weights(file):
    config = load_config(file, TrainConfig)
    if str(config.start_from) in CONVERTED:
        assert config.epochs in (30, 70, 150)
        return
    runs = {f"runs/{c.name}": c for c in (load_config(other, TrainConfig) for other in ROWS if other != file)}
    assert runs[str(config.start_from)].model == config.model


@pytest.mark.slow
@pytest.mark.usefixtures("shallow", "hardly_optimised")
def test_a_model_with_a_block_starts_from_a_checkpoint_without_one(tmp_path):
    spec = ModelSpec(backbone="shallow", input_size=(64, 64), block=BlockSpec(at="stage5", mid_channels=8))
    plain = dataclasses.replace(spec, block=None)
    trained = random_variables(build(plain), (1, 64, 64, 3))
    checkpoint.save(tmp_path, Scorer(trained, Calibration.identity(), plain, "mos"))
    config = TrainConfig(model=spec, start_from=tmp_path)
    nothing = PhotoSet((), np.zeros(0), "mos", lambda i: np.zeros((1, 1, 3), np.uint8), ())
    started = initial_variables(resolve(config, np.arange(8)), nothing)
    assert jax.tree.map(np.shape, started["params"]) == jax.tree.map(np.shape, shapes(spec)["params"])
    for part in ("backbone", "head"):
        same = jax.tree.map(np.array_equal, dict(started["params"][part]), dict(trained["params"][part]))
        assert all(jax.tree.leaves(same))
    assert np.std(started["params"]["block"]["cayley"]["kernel"]) > 0
    other = dataclasses.replace(config, model=dataclasses.replace(spec, taps=("stage5",)))
    with pytest.raises(ValueError, match="holds another model than the configuration's"):
        initial_variables(resolve(other, np.arange(8)), nothing)
