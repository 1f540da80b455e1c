"""Shared test settings: where real photos lie, if they do; small backbones; the order of the files."""

import dataclasses
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import pytest
from places import SHARED
from quick_models import QUICKLY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real photos and results; the test skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data at {SHARED}; set RIQA_SHARED_DATA")
    return SHARED


@pytest.fixture
def resnet10(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ResNet of one basic block a layer: all that a conversion can get wrong, in half of a ResNet-18's time."""
    from robust_iqa_jax.backbones.resnet import VARIANTS, Variant

    monkeypatch.setitem(VARIANTS, "resnet10", Variant((1, 1, 1, 1), bottleneck=False))


@pytest.fixture(scope="module")
def shallow() -> Iterator[None]:
    """A backbone "shallow": EfficientNet-Lite0's first block of each stage with its ImageNet weights.

    Every map keeps its channels and its kind; compiling takes half the time.
    """
    from robust_iqa_jax.backbones.efficientnet_lite import STAGES, EfficientNetLite
    from robust_iqa_jax.models.backbone_table import BACKBONES

    full = BACKBONES["efficientnet_lite0"]

    def pretrained() -> dict[str, Any]:
        return {
            kind: {name: leaves for name, leaves in parts.items() if "_block" not in name or name.endswith("_block1")}
            for kind, parts in full.pretrained().items()
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAGES, "shallow", tuple(dataclasses.replace(stage, repeats=1) for stage in STAGES["lite0"]))
        entry = dataclasses.replace(
            full, build=lambda axis: EfficientNetLite("shallow", bn_axis_name=axis), pretrained=pretrained
        )
        patch.setitem(BACKBONES, "shallow", entry)
        yield


@pytest.fixture(scope="module")
def tiny() -> Iterator[None]:
    """Backbones that end after a few blocks: "tiny_lite", and ResNets "tiny_basic", "tiny_bottleneck", "tiny_grouped".

    All that taking blocks apart can get wrong, in a tenth of a whole network's time.
    """
    from robust_iqa_jax.backbones.efficientnet_lite import STAGES, EfficientNetLite
    from robust_iqa_jax.backbones.resnet import VARIANTS, ResNet, Variant
    from robust_iqa_jax.models.backbone_table import BACKBONES

    kinds = {"basic": {"bottleneck": False}, "bottleneck": {}, "grouped": {"width_per_group": 8, "groups": 8}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAGES, "tiny", tuple(dataclasses.replace(s, repeats=1) for s in STAGES["lite0"][:3]))
        lite = dataclasses.replace(
            BACKBONES["efficientnet_lite0"], build=lambda axis: EfficientNetLite("tiny", bn_axis_name=axis)
        )
        patch.setitem(BACKBONES, "tiny_lite", lite)
        for kind, fields in kinds.items():
            name = f"tiny_{kind}"
            patch.setitem(VARIANTS, name, Variant((1, 1), **fields))
            build = lambda axis, name=name: ResNet(name, bn_axis_name=axis)  # noqa: E731
            patch.setitem(BACKBONES, name, dataclasses.replace(BACKBONES["resnet50"], build=build))
        yield


@pytest.fixture(scope="module")
def tiny_photos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The backbone "tiny" of tiny_backbone.py, and sixteen photos of 40x40 in the groups "train" and "test"."""
    import photo_tables
    import tiny_backbone

    from robust_iqa_jax.data.open import open_photos

    with tiny_backbone.registered():
        yield open_photos(photo_tables.write_photo_table(tmp_path_factory.mktemp("photos"), count=16, side=40))


@pytest.fixture(scope="module")
def tiny_training(tiny_photos: Any) -> Any:
    """The eight of them that are trained on."""
    return tiny_photos.select(["train"])


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work folder of the run of small_run.py on the photos of `tiny_training`, compiled as `hardly_optimised` does;
    to be copied by tests that write to it."""
    import photo_tables
    import small_run
    import tiny_backbone

    from robust_iqa_jax.data.open import open_photos
    from robust_iqa_jax.training.loop import train

    folder = tmp_path_factory.mktemp("finished")
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with tiny_backbone.registered():
        photos = open_photos(photo_tables.write_photo_table(folder / "photos", count=16, side=40))
        train(small_run.CONFIG, photos.select(["train"]), folder / "run")
    jax.config.update("jax_disable_most_optimizations", before)
    return folder / "run"


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """PyTorch, and "resnet10" among the ResNets of parity/; the test skips without PyTorch."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    from parity.torch_resnet import LAYERS

    monkeypatch.setitem(LAYERS, "resnet10", ((1, 1, 1, 1), 0, 64, 1))
    return torch


@pytest.fixture(scope="module")
def hardly_optimised() -> Iterator[None]:
    """Compiles in a fraction of the time; for small programs that run a few times."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


QUICK = " ".join(f"--{flag}={str(value).lower()}" for flag, value in QUICKLY.items())
"""Flags of XLA for programs that run a few times: compiling takes most of the tests' time, and this half of it."""


def pytest_configure(config: pytest.Config) -> None:
    """Programs are hardly optimised in the default run, and as users have them where slow tests are asked for.

    NumPy's products and decompositions are small, and each worker has a core of its own: OpenBLAS's threads, waiting
    for the next one, would take what the other worker needs. Read as a library loads: by workers, not with -n 0.

    What was compiled once is kept, for subprocesses and later runs too (`pytest --cache-clear` forgets it). Each worker
    has a folder of its own, because JAX writes into it without a lock.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if config.option.markexpr == "not slow":
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()
    gc.set_threshold(50_000, 20, 50)  # traced programs are millions of objects that stay
    worker = getattr(config, "workerinput", {}).get("workerid", "main")
    folder = config.cache.mkdir("compiled-programs") / worker  # pyright: ignore[reportOptionalMemberAccess]
    settings = {"jax_compilation_cache_dir": str(folder), "jax_persistent_cache_min_compile_time_secs": 0.3}
    for name, value in settings.items():
        os.environ[name.upper()] = str(value)
        jax.config.update(name, value)


LONGEST = (
    "test_training.py",
    "test_study.py",
    "test_commands.py",
    "test_training_variants.py",
    "test_constructions.py",
    "test_conventions.py",
    "test_shipped.py",
    "test_lipschitz_iqa.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: a file runs in one worker, and the other should not wait for it at the end."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))
