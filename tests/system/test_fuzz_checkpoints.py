"""Seeded fuzz of checkpoints: whatever bytes are given, the reader returns arrays or one line, executes nothing, and
asks for no more memory than the file explains."""

import json
import pickle
import random
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import flax.serialization
import jax.numpy as jnp
import numpy as np
import pytest
from peak_memory import peak, restart_peak
from safetensors.numpy import save_file
from torch_pickles import VALUES, legacy_file, op_dict, op_global, op_int, op_number, op_str, op_tensor, op_tuple
from torch_pickles import zip_file as write_zip

from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.weights.read import read_checkpoint
from robust_iqa_jax.weights.torch_pickle import CheckpointError

FORMATS = ("zip.pth", "deflated.pth", "legacy.pth", "x.safetensors", "x.msgpack")
MOST_BYTES = 300e6
"""That reading may take at a time: what every file may declare (16 MiB and 16 times its size), several times over."""


def torch_pickle(legacy, sentinel):
    """A mapping of weights beside a namespace, numbers, and a call that would leave a file behind."""
    tensors = {f"layer{i}.weight": op_tensor("0", 12, i, (2, 3), (3, 1), legacy=legacy) for i in range(3)}
    evil = op_global("os", "system") + op_tuple(op_str(f"touch {sentinel}")) + b"R"
    namespace = op_global("argparse", "Namespace") + b")\x81}(" + op_str("lr") + op_int(1) + b"ub"
    return op_dict(state_dict=op_dict(**tensors)[2:-1], best=op_number(), hyper=namespace, evil=evil, epoch=op_int(3))


def seeds(folder, sentinel):
    """A sound file of every format."""
    legacy_file(folder / "legacy.pth", torch_pickle(True, sentinel), {"0": VALUES})
    write_zip(folder / "zip.pth", torch_pickle(False, sentinel), {"0": VALUES}, byteorder="little")
    with zipfile.ZipFile(folder / "deflated.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", torch_pickle(False, sentinel))
        archive.writestr("m/data/0", VALUES.tobytes())
    tree = {"params": {f"layer{i}": {"kernel": VALUES.reshape(3, 4), "bias": VALUES[:4]} for i in range(3)}}
    save_file({f"layer{i}.weight": VALUES for i in range(3)}, folder / "x.safetensors")
    (folder / "x.msgpack").write_bytes(flax.serialization.msgpack_serialize(tree))
    return {name: (folder / name).read_bytes() for name in FORMATS}


EDGES = (
    b"\0" * 8,
    b"\xff" * 8,
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\0\0\0\0\0\1\0\0",
    (1 << 40).to_bytes(8, "little"),
)
OPCODES = bytes(range(0x28, 0x99))


def mutated(content, rng):
    """A few flipped, replaced, repeated, removed or inserted bytes, or an end that is missing."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(content) + 1)
        match rng.randrange(7):
            case 0 if at < len(content):
                content[at] ^= 1 << rng.randrange(8)
            case 1:
                content[at : at + 1] = bytes([rng.choice(OPCODES)])
            case 2:
                edge = rng.choice(EDGES)
                content[at : at + len(edge)] = edge
            case 3:
                del content[at : at + rng.randrange(1, 40)]
            case 4:
                start = rng.randrange(len(content) + 1)
                content[at:at] = content[start : start + rng.randrange(1, 40)]
            case 5:
                content[at:at] = rng.randbytes(rng.randrange(1, 8))
            case 6 if rng.random() < 0.2:
                del content[at:]
    return bytes(content)


def repacked(content, rng):
    """A zip archive whose pickle is mutated inside, with the right checksums: what flipping its bytes never reaches."""
    path = Path(content)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice([name for name in parts if name.endswith("data.pkl")] * 4 + list(parts))
    parts[name] = mutated(parts[name], rng)
    return parts


def read(path):
    """Whether the file was read; fails where the reader breaks its word."""
    try:
        found = read_checkpoint(path)
    except CheckpointError as error:
        line = str(error)
    else:
        assert all(isinstance(array, np.ndarray) for array in found.tensors.values())
        assert sum(array.nbytes for array in found.tensors.values()) < MOST_BYTES
        return True
    assert "\n" not in line
    assert str(path) in line
    return False


def fuzz(folder, count, seed):
    """Read `count` mutations of every format; how many of all were readable."""
    sentinel = folder / "executed"
    originals, rng, good = seeds(folder, sentinel), random.Random(seed), 0
    for name, content in originals.items():
        assert read(folder / name), name
        for i in range(count):
            path = folder / f"mutated-{name}"
            if name.startswith(("zip", "deflated")) and i % 2:
                with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if "deflated" in name else 0) as archive:
                    for part, data in repacked(folder / name, rng).items():
                        archive.writestr(part, data)
            else:
                path.write_bytes(mutated(content, rng))
            good += read(path)
    assert not sentinel.exists()
    return good


def test_200_mutated_checkpoints_are_read_or_explained(tmp_path):
    tracemalloc.start()
    try:
        good = fuzz(tmp_path, 40, seed=0)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    assert 0 < good < 200  # mutations that all break would test nothing but the first check


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_thousands_of_mutated_checkpoints_are_read_or_explained(tmp_path, seed):
    before = restart_peak()
    assert fuzz(tmp_path, 500, seed) > 0
    assert (peak() - before) * 1024 < MOST_BYTES


def test_the_call_in_these_files_does_work_where_pickle_runs_it(tmp_path):
    with pytest.raises(AttributeError):  # the tensors' persistent ids need torch; the call alone does not
        pickle.loads(op_global("os", "no_such_function") + b".")
    sentinel = tmp_path / "executed"
    pickle.loads(b"\x80\x02" + op_global("os", "system") + op_tuple(op_str(f"touch {sentinel}")) + b"R.")
    assert sentinel.exists()


def ours(folder):
    """A checkpoint of ours of the backbone "tiny"; (description, weights) as bytes."""
    from quick_models import random_variables

    from robust_iqa_jax.models.registry import build

    spec = ModelSpec("linearity", "tiny_basic", ("layer1", "layer2"), (64, 64))  # pyright: ignore[reportArgumentType]
    drawn = {name: dict(leaves) for name, leaves in random_variables(build(spec), (1, 64, 64, 3)).items()}
    checkpoint.save(folder, Scorer(drawn, Calibration(*map(jnp.float32, (1, 0, 0, 100))), spec))
    return (folder / checkpoint.DESCRIPTION).read_bytes(), (folder / checkpoint.WEIGHTS).read_bytes()


def fuzz_ours(folder, count, seed):
    description, weights = ours(folder)
    checkpoint.load(folder)
    rng = random.Random(seed)
    head = 8 + int.from_bytes(weights[:8], "little")
    for i in range(count):
        fuzzed = mutated(weights[:head], rng) + weights[head:] if i % 2 else weights
        (folder / checkpoint.WEIGHTS).write_bytes(fuzzed)
        (folder / checkpoint.DESCRIPTION).write_bytes(description if i % 2 else mutated(description, rng))
        line = str(folder)
        try:
            checkpoint.load(folder)
        except CheckpointError as error:
            line = str(error)
        assert "\n" not in line
        assert str(folder) in line


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("count", [10, pytest.param(400, marks=pytest.mark.slow)])
def test_mutated_checkpoints_of_ours_are_read_or_explained(tmp_path, count):
    fuzz_ours(tmp_path, count, seed=0)


def test_reading_stays_within_a_limit_of_memory_that_the_system_sets(tmp_path):
    """In a process that may not have 8 GB more: a declared terabyte would end it."""
    huge = op_tensor("0", 12, 0, (1 << 30, 1 << 10), (0, 0), legacy=False)
    write_zip(tmp_path / "expanded.pth", op_dict(x=huge), {"0": VALUES})
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    legacy_file(tmp_path / "memo.pth", b"\x80\x02Nr\xff\xff\xff\xff.", {})
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", bytes(1 << 27))
    files = sorted(str(path) for path in tmp_path.iterdir())
    script = """
import re, resource, sys
from robust_iqa_jax.weights.read import read_checkpoint
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 30),) * 2)
for path in sys.argv[1:]:
    try:
        read_checkpoint(path)
    except ValueError as error:
        print(error)
print(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to know the memory in use")
    done = subprocess.run([sys.executable, "-c", script, *files], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    *lines, peak = done.stdout.splitlines()
    assert len(lines) == len(files)
    assert int(peak) < 2e6  # kilobytes
