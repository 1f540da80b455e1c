"""A folder as a hurried user has it: photos, label tables, checkpoints, weights, reports and configurations, each sound
or with one thing wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import photo_tables
from PIL import Image
from quick_models import random_variables
from safetensors.numpy import load_file, save_file
from skimage import data
from small_report import small_report
from torch_files import write_pickle, write_state_dict

import robust_iqa_jax as riqa
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import build
from robust_iqa_jax.models.scorer import Calibration
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.report.files import write_report
from robust_iqa_jax.training.config import TrainConfig

PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Sign in to download</body></html>\n"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"

TABLES = {
    "header_only": "image_name,mos,split\n",
    "empty": "",
    "no_scores": "image_name,split\n0.png,train\n1.png,test\n",
    "no_names": "mos,split\n1,train\n2,test\n",
    "no_header": "0.png,50,train\n1.png,60,test\n",
    "words": "image_name,mos,split\n0.png,good,train\n1.png,60,test\n",
    "nan": "image_name,mos,split\n0.png,nan,train\n1.png,60,test\n",
    "infinite": "image_name,mos,split\n0.png,inf,train\n1.png,60,test\n",
    "blank_score": "image_name,mos,split\n0.png,,train\n1.png,60,test\n",
    "blank_name": "image_name,mos,split\n,50,train\n1.png,60,test\n",
    "ragged": "image_name,mos,split\n0.png,50\n1.png,60,test\n",
    "twice": "image_name,mos,split\n0.png,50,train\n0.png,60,test\n",
    "missing_photo": "image_name,mos,split\n0.png,50,train\nlost.png,60,test\n",
    "dmos": "image_name,dmos,split\n0.png,50,train\n1.png,60,test\n",
    "all_test": "image_name,mos,split\n0.png,50,test\n1.png,60,test\n",
    "one_test": "image_name,mos,split\n" + "".join(f"{i}.png,{i},train\n" for i in range(7)) + "7.png,60,test\n",
    "equal": "image_name,mos,split\n" + "".join(f"{i}.png,50,{('train', 'test')[i % 2]}\n" for i in range(8)),
}
"""Label tables of the eight photos of table/, all but the last two unusable."""

CONFIGS = {
    "syntax": "def get_config(:\n    return None\n",
    "nothing": "x = 3\n",
    "none": "def get_config():\n    return None\n",
    "dictionary": "def get_config():\n    return {'steps': 3}\n",
    "raising": "def get_config():\n    raise RuntimeError('no colour today')\n",
    "importing": "import a_package_that_nobody_has\n",
    "argument": "def get_config(steps):\n    return steps\n",
    "train": (
        "from robust_iqa_jax.models.spec import ModelSpec\n"
        "from robust_iqa_jax.training.config import TrainConfig\n"
        "def get_config():\n"
        "    return TrainConfig(name='small', model=ModelSpec(input_size=(32, 32)), data='table/scores.csv',\n"
        "                       steps=2, batch_size=4)\n"
    ),
    "unknown_field": (
        "from robust_iqa_jax.training.config import TrainConfig\ndef get_config():\n    return TrainConfig(stepps=3)\n"
    ),
    "weightless": (
        "from robust_iqa_jax.models.spec import ModelSpec\n"
        "from robust_iqa_jax.training.config import TrainConfig\n"
        "def get_config():\n"
        "    model = ModelSpec(backbone='resnet18', taps=('layer3', 'layer4'), input_size=(32, 32))\n"
        "    return TrainConfig(model=model, data='table/scores.csv', steps=2, batch_size=4)\n"
    ),
    "study": (
        "from robust_iqa_jax.models.spec import ModelSpec\n"
        "from robust_iqa_jax.study import StudyConfig\n"
        "from robust_iqa_jax.training.config import TrainConfig\n"
        "def get_config():\n"
        "    model = ModelSpec(input_size=(32, 32))\n"
        "    return StudyConfig(TrainConfig(model=model, data='table/scores.csv', steps=2, batch_size=4))\n"
    ),
    "weightless_study": (
        "from robust_iqa_jax.models.spec import ModelSpec\n"
        "from robust_iqa_jax.study import StudyConfig\n"
        "from robust_iqa_jax.training.config import TrainConfig\n"
        "def get_config():\n"
        "    model = ModelSpec(input_size=(32, 32))\n"
        "    other = ModelSpec(backbone='resnet18', taps=('layer3', 'layer4'), input_size=(32, 32))\n"
        "    base = TrainConfig(model=model, data='table/scores.csv', steps=2, batch_size=4)\n"
        "    return StudyConfig(base, others={'resnet': other})\n"
    ),
    "suite": (
        "from robust_iqa_jax.evaluation.suite import SuiteConfig, SuiteData\n"
        "def get_config():\n"
        "    return SuiteConfig({'block': 'block'}, {'photos': SuiteData('table/scores.csv')})\n"
    ),
    "suite_laser": (
        "from robust_iqa_jax.evaluation.suite import SuiteAttack, SuiteConfig\n"
        "def get_config():\n"
        "    return SuiteConfig({'block': 'block'}, attacks=(SuiteAttack('laser'),))\n"
    ),
    "suite_nowhere": (
        "from robust_iqa_jax.evaluation.suite import SuiteConfig, SuiteData\n"
        "def get_config():\n"
        "    return SuiteConfig({'block': 'nowhere'}, {'photos': SuiteData('table/scores.csv')})\n"
    ),
    "suite_group": (
        "from robust_iqa_jax.evaluation.suite import SuiteConfig, SuiteData\n"
        "def get_config():\n"
        "    return SuiteConfig({'block': 'block'}, {'photos': SuiteData('table/scores.csv', test_group='nine')})\n"
    ),
}


def write(folder: Path) -> None:
    """Everything; the backbone "tiny" must be registered."""
    _photos(folder)
    photo_tables.write_photo_table(folder / "table", count=8, side=32)
    for name, text in TABLES.items():
        (folder / "table" / f"{name}.csv").write_text(text)
    (folder / "table/latin.csv").write_bytes("image_name,mos,größe\n0.png,50,1\n".encode("latin-1"))
    (folder / "table/book.xlsx").write_bytes(b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(range(256)))
    (folder / "table/scores.json").write_text('[{"image_name": "0.png", "mos": 50}]\n')
    (folder / "table/info.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(40))
    for name, text in CONFIGS.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "config.json").write_text('{"steps": 3}\n')
    (folder / "notes.txt").write_text("a file of mine\n")
    (folder / "nothing").mkdir()
    _checkpoints(folder)
    _weights(folder)
    write_report(folder / "report", small_report())
    shutil.copytree(folder / "report", folder / "quick", dirs_exist_ok=True)
    for name in ("no_json", "no_rows", "bad_row"):
        (folder / f"report_{name}").mkdir()
    (folder / "report_no_json/report.json").write_text("<html>")
    (folder / "report_no_rows/report.json").write_text("{}")
    shutil.copy(folder / "report/report.json", folder / "report_bad_row/report.json")
    (folder / "report_bad_row/per_image.csv").write_text(
        "image,model,attack,eps,clean,attacked\na.png,base,x,,high,2\n"
    )
    (folder / "other_run").mkdir()
    (folder / "other_run/config.json").write_text(json.dumps(TrainConfig(steps=99).to_json()))


def _photos(folder: Path) -> None:
    photo = Image.fromarray(data.astronaut()[:48, 180:240])
    for name in ("photo.png", "other.jpg", "two words.png", "-dash.png", "höhe.png"):
        photo.save(folder / name)
    for name in ("a.png", "b.png"):
        (folder / "photos").mkdir(exist_ok=True)
        photo.save(folder / "photos" / name)
    whole = (folder / "photo.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    at = whole.index(b"IDAT") + 30
    (folder / "flipped.png").write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("not an image\n")
    (folder / "page.png").write_text(PAGE)
    (folder / "pointer.jpg").write_text(POINTER)
    (folder / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(200))
    Image.fromarray(np.zeros((8, 8), np.float32)).save(folder / "float.tif")


def _checkpoints(folder: Path) -> None:
    for name, block in (("base", None), ("block", BlockSpec(at="first", mid_channels=4))):
        spec = ModelSpec(backbone="tiny", taps=("first", "second"), input_size=(32, 32), block=block)
        variables = random_variables(build(spec), (1, 32, 32, 3))
        checkpoint.save(folder / name, riqa.Scorer(variables, Calibration.identity(), spec, "pseudo_mos"))
    for name in ("base", "robust", "robust-pruned"):
        shutil.copytree(folder / "base", folder / "quick" / name)
    broken = ("cut", "no_json", "no_weights", "nan", "negative", "future", "unknown_backbone", "shape", "names")
    for name in broken:
        shutil.copytree(folder / "base", folder / f"base_{name}")
    whole = (folder / "base/model.safetensors").read_bytes()
    (folder / "base_cut/model.safetensors").write_bytes(whole[:-500])
    (folder / "base_no_json/model.json").write_text("{")
    (folder / "base_no_weights/model.safetensors").unlink()
    description = json.loads((folder / "base/model.json").read_text())
    (folder / "base_future/model.json").write_text(json.dumps({**description, "format": 99}))
    spec = {**description["spec"], "backbone": "resnet9000"}
    (folder / "base_unknown_backbone/model.json").write_text(json.dumps({**description, "spec": spec}))
    tensors = load_file(folder / "base/model.safetensors")
    kernel = next(name for name in sorted(tensors) if name.endswith("kernel"))
    variance = next(name for name in sorted(tensors) if name.endswith("var"))
    changed = {
        "nan": {kernel: np.full_like(tensors[kernel], np.nan)},
        "negative": {variance: -tensors[variance]},
        "shape": {kernel: np.zeros(3, np.float32)},
        "names": {"layer1.weight": np.zeros(3, np.float32)},
    }
    for name, change in changed.items():
        save_file({**tensors, **change}, folder / f"base_{name}" / "model.safetensors")
    (folder / "unfinished/checkpoints/2").mkdir(parents=True)
    shutil.copy(folder / "config.json", folder / "unfinished/config.json")


def _weights(folder: Path) -> None:
    (folder / "page.pth").write_text(PAGE)
    (folder / "pointer.pth").write_text(POINTER)
    (folder / "empty.pth").write_bytes(b"")
    shutil.copy(folder / "photo.png", folder / "photo.pth")
    (folder / "text.safetensors").write_text("weights\n")
    (folder / "net.onnx").write_bytes(b"\x08\x08\x12\x07pytorch")
    write_pickle(
        folder / "whole.pth",
        b"\x80\x02cmy_project\nMyNet\n)\x81}(X\x08\0\0\0trainingI01\nX\x0b\0\0\0_parameters}X\x08\0\0\0_modules}ub.",
    )
    write_pickle(folder / "executes.pth", b"\x80\x02cos\nsystem\nX\x0a\0\0\0touch evil\x85R.")
    write_pickle(folder / "no_tensors.pth", b"\x80\x02}X\x05\0\0\0epochK\x01s.")
    sound = write_state_dict(folder / "strange.pth", {"my.weight": np.zeros(4, np.float32)})
    (folder / "cut.pth").write_bytes(sound.read_bytes()[:-200])
    save_file({"my.weight": np.zeros(4, np.float32)}, folder / "strange.safetensors")
    (folder / "backbone").mkdir()
    shutil.copy(folder / "strange.pth", folder / "backbone/resnet101.pth")
