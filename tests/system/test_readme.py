"""Command lines and Python of README and docs/, run as they are written, in a folder outside the checkout, by the
installed package. What a test machine lacks has a stand-in, and what takes long is made short; both are in the tables
below."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import archive_folders
import flax.traverse_util
import numpy as np
import photo_tables
import pytest
from PIL import Image
from places import ROOT
from skimage import data
from torch_files import write_state_dict

from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.models.registry import shapes
from robust_iqa_jax.models.releases import Release, releases

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in dict.fromkeys((ROOT / "README.md", ROOT / "docs/train.md", *sorted(ROOT.glob("docs/*.md"))))
}
"""The page on training comes early: others speak of the runs that it leaves."""
RIQA = Path(sys.executable).with_name("riqa")

STAND_INS = (
    (r"python3 -m venv \.venv && \.venv/bin/pip install '\.\[all\]' && \.venv/bin/riqa", "riqa"),  # it is installed
    (r"^srun ", ""),  # no Slurm
    (r"^gcloud compute tpus tpu-vm ssh POD --worker=all --command '(.*)'", r"\1"),  # no TPU pod
    (r"riqa train \.\.\.", "riqa train clive_lite0 --data clive/scores.csv"),  # dots for any training
    (r"host0:1234", "localhost:{port}"),
    (r"(koniq_\w+(?:\.py)?) --data DIR", r"\1 --data koniq/scores.csv"),  # 10,073 photos are no test
    (r"--checkpoint DIR", "--checkpoint runs/quickstart/base"),
    (r"riqa study clive_reduced", "riqa study clive_reduced_short.py"),  # 23 minutes
)
"""What a page writes -> what is run in its place."""

SHORTER = (
    (r"^(RIQA_\w+=\S+ )*riqa train .*clive_lite0", "--steps 2 --batch-size 2 --head-epochs 1"),
    (r"^riqa train my_photos ", "--steps 1 --batch-size 2"),
    (r"^riqa train .*koniq_linearity_r101_robust", "--steps 1 --batch-size 2"),
    (r"^riqa evaluate ", "--steps 1 --eps 4/255"),
    (r"^riqa certify ", "--samples 20 --radius 0.05"),
    (r"--attack apgd", "--steps 2"),
    (r"--attack mi-fgsm", "--steps 2"),
    (r"--attack suite", "--steps 1 --restarts 1 --queries 2"),
    (r"--attack uap", "--epochs 1"),
    (r"^riqa bench robust_block", "--case small --batch 1 --impl factored --repeats 1"),
    (r"^riqa bench growth --plots", "--side 14 20 --channels 32 64 --batch 1 2 --impl cayley --repeats 1"),
    (r"^riqa bench block_cost", "--size 128 160 --train-batch 2 --convolution cayley --repeats 1"),
)
"""Commands -> options behind them that make them short; the last of two equal options counts."""

NOT_RUN = {
    "python3 -m venv .venv && .venv/bin/pip install '.[dev]' && .venv/bin/pytest": "installs, and runs these tests",
}
"""Commands that are not run, and why."""

SHORT_STUDY = """
import dataclasses

from robust_iqa_jax.configs import clive_reduced
from robust_iqa_jax.evaluation.suite import SuiteAttack


def get_config():
    study = clive_reduced.get_config()
    small = lambda model: dataclasses.replace(model, input_size=(64, 64))
    base = dataclasses.replace(study.base, model=small(study.base.model), steps=1, head_epochs=1, batch_size=4)
    others = {name: small(study.others[name]) for name in ("lite1",)}
    positions = {name: study.positions[name] for name in ("4",)}
    attacks = (SuiteAttack("pgd", (4 / 255,), {"steps": 1}),)
    return dataclasses.replace(study, base=base, others=others, positions=positions, attacks=attacks, attack_photos=2)
"""

PREAMBLE = """
import dataclasses

import numpy as np
from PIL import Image
from robust_iqa_jax.data.archives.table import ARCHIVES

names = ("photo.jpg", "other1.jpg", "other2.jpg")
images = np.stack([np.asarray(Image.open(name).crop((0, 0, 96, 96)), np.float32) / 255 for name in names])
small = {"training": 4, "validation": 2, "test": 3}
ARCHIVES["koniq10k"] = dataclasses.replace(ARCHIVES["koniq10k"], count=9, splits=small)
"""
"""`images`, which README does not define, and a KonIQ-10k of nine photos."""

RUN_ELSEWHERE = {"docs/layers.md"}
"""Pages whose Python test_layers_page.py runs, each example alone."""

PLACEHOLDER = re.compile(r"\b(CONFIG|TABLE|CHECKPOINT|FOLDER|IMAGE|NAME|FILE|OUT|PHOTOS?|MODEL)\b|\[|\.\.\.")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)


def command_lines(page: str) -> Iterator[str]:
    """Of the blocks, without the remarks behind them."""
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            command = re.sub(r"\s+#\s.*$", "", line).strip()
            if command and not command.startswith("#"):
                yield command


def inline_commands(page: str) -> list[str]:
    """Of the text and tables."""
    text = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    return [" ".join(command.split()) for command in re.findall(r"`(riqa [^`]+)`", text)]


def is_whole(command: str) -> bool:
    """Whether a command of the text is one to type, and not a synopsis, or the name of a command."""
    return PLACEHOLDER.search(command) is None and (len(command.split()) > 2 or command == "riqa models")


def as_run(command: str) -> str:
    for written, instead in STAND_INS:
        command = re.sub(written, instead, command)
    return " ".join([command, *(options for pattern, options in SHORTER if re.search(pattern, command))])


INLINE = list(dict.fromkeys(command for page in PAGES for command in inline_commands(page)))
LINES = list(dict.fromkeys(command for page in PAGES for command in command_lines(page)))
COMMANDS = list(dict.fromkeys([*LINES, *filter(is_whole, INLINE)]))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_run_or_listed_with_a_reason(command):
    assert command in NOT_RUN or re.match(r"(RIQA_\w+=\S+ )*riqa \w+", as_run(command)), command


def test_the_tables_speak_of_these_pages():
    assert set(NOT_RUN) <= set(COMMANDS)
    for written, _ in STAND_INS:
        assert any(re.search(written, command) for command in COMMANDS), written
    for pattern, _ in SHORTER:
        assert any(re.search(pattern, as_run(command)) for command in COMMANDS), pattern


def test_options_of_the_text_are_those_of_the_commands(capsys):
    from robust_iqa_jax.cli import main

    shown: dict[tuple[str, ...], str] = {}
    for command in INLINE:
        _, name, *rest = command.split()
        options = re.findall(r"--[\w-]+", " ".join(rest))
        if name == "COMMAND" or not options:
            continue
        # benchmarks, configurations and attacks have options of their own; a placeholder stands for any of them
        own = rest[:1] if name in ("bench", "train") and rest[0].islower() else []
        own = own or {"bench": ["robust_block"], "train": ["clive_lite0"]}.get(name, [])
        if name == "attack":
            own = " ".join(re.findall(r"--attack [a-z][\w-]+", command)).split()
        asked = (name, *own)
        if asked not in shown:
            with pytest.raises(SystemExit) as stop:
                main([*asked, "--help"])
            assert stop.value.code == 0
            shown[asked] = capsys.readouterr().out
        for option in options:
            assert option in shown[asked], f"{command}: {option}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder but for the files that README takes for granted."""
    folder = tmp_path_factory.mktemp("reader")
    for name, photo in (("photo", data.astronaut), ("other1", data.coffee), ("other2", data.chelsea)):
        Image.fromarray(photo()).crop((100, 0, 400, 280)).save(folder / f"{name}.jpg")
    names = [f"{i}.jpg" for i in range(9)]
    archive_folders.koniq10k(folder / "DIR", names, ["training"] * 4 + ["test"] * 3 + ["validation"] * 2)
    for name in names:
        Image.fromarray(data.coffee()[:96, :128]).save(folder / "DIR/512x384" / name)
    for place, column, groups in (
        ("DIR", "fold", "01234"),
        ("clive", "fold", "01234"),
        ("koniq", "set", ("training", "validation", "test")),
    ):
        table = photo_tables.write_photo_table(folder / place, count=20, side=72)
        rows = (f"{i}.png,{100 - 3 * i},{groups[i % len(groups)]}\n" for i in range(20))
        table.write_text(f"image_name,mos,{column}\n" + "".join(rows))
    (folder / "clive_reduced_short.py").write_text(SHORT_STUDY)
    published(folder / "p1q2.pth", "linearity-resnext101_32x8d", whole=True)
    published(folder / "resnet101.pth", "linearity-resnet101")
    published(folder / "resnet50.pth", "linearity-resnet50")
    return folder


def published(path: Path, model: str, whole: bool = False) -> None:
    """A file with the names and shapes of a model's public release, or of its backbone's; the values are drawn."""
    spec, drawn = preset(model), np.random.default_rng(0).normal(0, 1, 4099).astype(np.float32)
    release: Release = releases(spec)[0 if whole else 1]
    tensors = {}
    for names, leaf in flax.traverse_util.flatten_dict(shapes(spec)).items():
        if not whole and names[1] != "backbone":
            continue
        axes = release.axes.get(leaf.ndim, range(leaf.ndim))
        value = np.resize(drawn, [leaf.shape[list(axes).index(axis)] for axis in range(leaf.ndim)])
        scale = (2 / np.prod(value.shape[1:])) ** 0.5 if leaf.ndim > 1 else 0.1
        tensors[release.name_of(names)] = np.float32(np.abs(value) if names[-1] in ("var", "scale") else scale * value)
    write_state_dict(path, tensors)


def run(folder: Path, *commands: str) -> None:
    """Run commands at the same time, as a user does in a shell; all must end with status 0."""
    environment = os.environ | {"PATH": f"{RIQA.parent}:{os.environ['PATH']}", "HOME": str(folder)}
    for name in ("PYTHONPATH", "RIQA_TRACEBACK"):
        environment.pop(name, None)
    started = [
        subprocess.Popen(["bash", "-c", command], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    messages = [process.communicate()[1] for process in started]
    for process, command, message in zip(started, commands, messages, strict=True):
        assert process.returncode == 0, f"{command}\n{message}"
        assert "Traceback" not in message


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=[" ".join(c.split()[:5]) for c in COMMANDS])
def test_a_command_works_outside_the_checkout(number, folder):
    if COMMANDS[number] in NOT_RUN:
        pytest.skip(NOT_RUN[COMMANDS[number]])
    command = as_run(COMMANDS[number]).replace("{port}", str(free_port()))
    if " train " in command and "--workdir" not in command:
        command += f" --workdir runs/train{number}"
    others = [command.replace("RIQA_PROCESS=0", "RIQA_PROCESS=1")] if "RIQA_PROCESS=0" in command else []
    run(folder, command, *others)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python") and page not in RUN_ELSEWHERE])
def test_python_works_outside_the_checkout(page, folder):
    script = f"{Path(page).stem.lower()}_page.py"
    text = "\n".join([PREAMBLE, *blocks(page, "python")])
    (folder / script).write_text(text)
    if "runs/exported" in text and not (folder / "runs/exported").is_dir():
        run(folder, "riqa export robust-lite0 runs/exported")
    run(folder, f"{sys.executable} {script}")
