"""What users get wrong, on the command line and in Python: one line that names the culprit and the cure, the right
status, nothing changed on disk, and all of it before a model is run or trained.

Statuses: 2 for an option, or a value of one, that is not to be understood, and for settings of attacks; 1 where what
was asked for cannot be done, by the configuration, the files or the models that it names. In Python ValueError, or
TypeError. `python tests/system/time_mistakes.py` prints how long each command takes.
"""

import os
import re
import shlex
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mistaken_folder
import numpy as np
import pytest
import tiny_backbone

import robust_iqa_jax as riqa
from robust_iqa_jax.attacks import pgd
from robust_iqa_jax.attacks import registry as attack_registry
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.cli import main
from robust_iqa_jax.data.label_table import read_label_table
from robust_iqa_jax.data.open import open_photos
from robust_iqa_jax.evaluation.masking import gradient_masking
from robust_iqa_jax.evaluation.suite import SuiteAttack, SuiteConfig
from robust_iqa_jax.layers.cayley_conv import CayleyConv
from robust_iqa_jax.models import registry as model_registry
from robust_iqa_jax.models.scorer import Scorer
from robust_iqa_jax.training import loop, start

KEY = jax.random.key(0)
PIXELS = np.random.default_rng(0).uniform(0.1, 0.9, (2, 8, 8, 3)).astype(np.float32)
MAP = np.ones((1, 6, 6, 4), np.float32)


class Mistake(NamedTuple):
    """One mistake.

    Attributes:
      act: a command line behind "riqa", or a call.
      status: the command's exit status; of a call the exception.
      culprit, cure: regular expressions, in any case, of what the one line must say.
      environment: variables that are set.
    """

    act: str | Callable[[], Any]
    status: int | type[Exception] | tuple[type[Exception], ...]
    culprit: str
    cure: str
    environment: dict[str, str] = {}  # noqa: RUF012


def mean(images):
    return jnp.asarray(images).mean((1, 2, 3))


NOTE = re.compile(r"evaluating on |\S+: training on ")
"""Lines that say which photos a command takes."""
NO_SUCH = "no such|not there|does not exist|no file|not found"
POSITIVE = "above 0|numbers? from 1|1 or more|0 or more|at least 1|positive|finite"
BAD = (ValueError, TypeError)

COMMANDS = {
    "command misspelt": Mistake("scroe photo.png --checkpoint block", 2, "scroe", "did you mean score"),
    "command in capitals": Mistake("Score photo.png --checkpoint block", 2, "'Score'", "did you mean score"),
    "command left out": Mistake("photo.png --checkpoint block", 2, "photo.png", "choose|there are|commands"),
    "option as command": Mistake("--verson", 2, "--verson", "--version|--help|choose|there are"),
    "help as command": Mistake("hepl", 2, "hepl", "help|choose|there are"),
}

SCORE = {
    "nothing given": Mistake("score", 2, "image|checkpoint", "give|required|missing|--help"),
    "no image": Mistake("score --checkpoint block", 2, "image", "at least one|give"),
    "checkpoint as an image": Mistake("score block", 1, "block", "without photos"),
    "checkpoint without value": Mistake(
        "score photo.png --checkpoint", 2, "--checkpoint", "expected|give|missing|needs"
    ),
    "option misspelt": Mistake("score photo.png --chekpoint block", 2, "--chekpoint", "--checkpoint"),
    "switch misspelt": Mistake("score photo.png --checkpoint block --jsn", 2, "--jsn", "--json"),
    "option of another command": Mistake(
        "score photo.png --checkpoint block --eps 4/255", 2, "--eps", "--help|unknown|unrec"
    ),
    "photo with a leading dash": Mistake("score -dash.png --checkpoint block", 2, "-dash.png", r"\./|--help|--"),
    "no such photo": Mistake("score absent.png --checkpoint block", 1, "absent.png", NO_SUCH),
    "no such photo, Unicode": Mistake("score größe.png --checkpoint block", 1, "größe.png", NO_SUCH),
    "photos by comma": Mistake("score photo.png,other.jpg --checkpoint block", 1, "photo.png,other.jpg", NO_SUCH),
    "pattern without a match": Mistake("score '*.gif' --checkpoint block", 1, r"\*\.gif", "no file matches"),
    "home folder in quotes": Mistake("score '~/photo.png' --checkpoint block", 1, "~/photo.png", NO_SUCH),
    "URL": Mistake(
        "score https://example.org/photo.png --checkpoint block", 1, "https://example.org/photo.png", "download|file"
    ),
    "folder without photos": Mistake("score nothing --checkpoint block", 1, "nothing", "folder without photos"),
    "photo and checkpoint swapped": Mistake(
        "score block --checkpoint photo.png", 1, "block|photo.png", "folder without photos|checkpoint"
    ),
    "text as photo": Mistake("score text.jpg --checkpoint block", 1, "text.jpg", "not an image"),
    "web page as photo": Mistake("score page.png --checkpoint block", 1, "page.png", "not an image|web page"),
    "Git LFS pointer as photo": Mistake("score pointer.jpg --checkpoint block", 1, "pointer.jpg", "not an image|LFS"),
    "empty photo": Mistake("score empty.png --checkpoint block", 1, "empty.png", "empty.*again"),
    "cut photo": Mistake("score cut.png --checkpoint block", 1, "cut.png", "again"),
    "photo with a wrong checksum": Mistake(
        "score flipped.png --checkpoint block", 1, "flipped.png", "damaged|checksum"
    ),
    "video": Mistake("score clip.mp4 --checkpoint block", 1, "clip.mp4", "not an image"),
    "floating-point picture": Mistake("score float.tif --checkpoint block", 1, "float.tif", "save|8 or 16 bits"),
    "label table as photo": Mistake("score table/scores.csv --checkpoint block", 1, "table/scores.csv", "not an image"),
    "weights as photo": Mistake(
        "score base/model.safetensors --checkpoint block", 1, "base/model.safetensors", "not an image"
    ),
    "no such checkpoint": Mistake("score photo.png --checkpoint nowhere", 1, "nowhere", f"{NO_SUCH}|give"),
    "folder above the checkpoints": Mistake(
        "score photo.png --checkpoint quick", 1, "quick", "base.*robust.*robust-pruned"
    ),
    "photo as checkpoint": Mistake("score photo.png --checkpoint other.jpg", 1, "other.jpg", "folder|riqa convert"),
    "file in the checkpoint": Mistake(
        "score photo.png --checkpoint base/model.json", 1, "base/model.json", "folder|riqa convert"
    ),
    "weights as checkpoint": Mistake("score photo.png --checkpoint strange.pth", 1, "strange.pth", "riqa convert"),
    "folder of weights as checkpoint": Mistake("score photo.png --checkpoint backbone", 1, "backbone", "riqa convert"),
    "report as checkpoint": Mistake("score photo.png --checkpoint report", 1, "report", "folder|checkpoint"),
    "empty folder as checkpoint": Mistake("score photo.png --checkpoint nothing", 1, "nothing", "give|folder"),
    "unfinished run": Mistake("score photo.png --checkpoint unfinished", 1, "unfinished", "finish|riqa train"),
    "checkpoint without weights": Mistake(
        "score photo.png --checkpoint base_no_weights", 1, "base_no_weights", "model.safetensors"
    ),
    "cut checkpoint": Mistake("score photo.png --checkpoint base_cut", 1, "base_cut", "damaged|truncated"),
    "checkpoint with a broken description": Mistake(
        "score photo.png --checkpoint base_no_json", 1, "base_no_json/model.json", "not a readable"
    ),
    "checkpoint of a later version": Mistake(
        "score photo.png --checkpoint base_future", 1, "base_future", "this version|format"
    ),
    "checkpoint of an unknown backbone": Mistake(
        "score photo.png --checkpoint base_unknown_backbone", 1, "resnet9000", "unknown|there are|choose"
    ),
    "NaN in a checkpoint": Mistake("score photo.png --checkpoint base_nan", 1, "base_nan", "not finite"),
    "negative variances in a checkpoint": Mistake(
        "score photo.png --checkpoint base_negative", 1, "base_negative", "negative"
    ),
    "tensor of another shape in a checkpoint": Mistake(
        "score photo.png --checkpoint base_shape", 1, "base_shape", "shape"
    ),
    "tensor of another model in a checkpoint": Mistake(
        "score photo.png --checkpoint base_names", 1, "base_names", "unknown"
    ),
}

ATTACK = {
    "nothing given": Mistake("attack", 2, "image|checkpoint", "give|required|missing|--help"),
    "no image": Mistake("attack --checkpoint block", 2, "image", "at least one|give"),
    "attack misspelt": Mistake("attack photo.png --checkpoint block --attack pdg", 2, "pdg", "did you mean pgd"),
    "attack in capitals": Mistake("attack photo.png --checkpoint block --attack PGD", 2, "PGD", "did you mean pgd"),
    "no such attack": Mistake("attack photo.png --checkpoint block --attack laser", 2, "laser", "there are|choose"),
    "attack without value": Mistake(
        "attack photo.png --checkpoint block --attack", 2, "attack", "expected|choose|there are|give"
    ),
    "two attacks": Mistake(
        "attack photo.png --checkpoint block --attack pgd,apgd", 2, "pgd,apgd", "there are|choose|mean"
    ),
    "eps in words": Mistake("attack photo.png --checkpoint block --eps four", 2, "eps.*four", "4/255"),
    "eps divided by zero": Mistake("attack photo.png --checkpoint block --eps 4/0", 2, "eps.*4/0", "4/255"),
    "eps in 8 bits": Mistake("attack photo.png --checkpoint block --eps 4", 2, "eps.*4", "4(.0)?/255"),
    "eps beyond all": Mistake("attack photo.png --checkpoint block --eps 300", 2, "eps.*300", r"\[0, 1\]|/255"),
    "eps of zero": Mistake("attack photo.png --checkpoint block --eps 0", 2, "eps.*0", "above 0"),
    "negative eps": Mistake("attack photo.png --checkpoint block --eps -4/255", 2, "eps", "above 0|expected one"),
    "infinite eps": Mistake("attack photo.png --checkpoint block --eps inf", 2, "eps.*inf", "finite|number"),
    "eps that is no number": Mistake("attack photo.png --checkpoint block --eps nan", 2, "eps.*nan", "finite|number"),
    "eps without value": Mistake("attack photo.png --checkpoint block --eps", 2, "--eps", "expected|give"),
    "no steps": Mistake("attack photo.png --checkpoint block --steps 0", 2, "steps.*0", "above 0"),
    "negative steps": Mistake("attack photo.png --checkpoint block --steps=-3", 2, "steps.*-3", "above 0"),
    "half a step": Mistake("attack photo.png --checkpoint block --steps 2.5", 2, "steps.*2.5", "whole"),
    "steps in words": Mistake("attack photo.png --checkpoint block --steps ten", 2, "steps.*ten", "number"),
    "setting misspelt": Mistake("attack photo.png --checkpoint block --stesp 3", 2, "--stesp", "--steps"),
    "setting of another attack": Mistake(
        "attack photo.png --checkpoint block --attack jpeg --steps 3", 2, "jpeg.*--steps", "--quality"
    ),
    "eps of a control": Mistake(
        "attack photo.png --checkpoint block --attack quantise --eps 1", 2, "quantise.*--eps", "none"
    ),
    "no such direction": Mistake("attack photo.png --checkpoint block --direction up", 2, "direction.*up", "raise"),
    "no such norm": Mistake("attack photo.png --checkpoint block --norm l7", 2, "norm.*l7", "linf"),
    "attack on a batch": Mistake(
        "attack photo.png --checkpoint block --direction invert", 2, "invert", "batch as a whole"
    ),
    "no restarts": Mistake("attack photo.png --checkpoint block --restarts 0", 2, "restarts.*0", POSITIVE),
    "JPEG quality out of range": Mistake(
        "attack photo.png --checkpoint block --attack jpeg --quality 150", 2, "quality.*150", "1.*100"
    ),
    "quality beyond all, of an attack behind =": Mistake(
        "attack photo.png --checkpoint block --attack=jpeg --quality 150", 2, "quality.*150", "1.*100"
    ),
    "seed in words": Mistake("attack photo.png --checkpoint block --seed lucky", 2, "seed.*lucky|lucky", "number|int"),
    "universal attack without photos": Mistake(
        "attack photo.png --checkpoint block --attack uap", 2, "uap", "--fit-on"
    ),
    "photos for an attack that is not fitted": Mistake(
        "attack photo.png --checkpoint block --fit-on other.jpg", 2, "--fit-on|fitted", "drop|uap"
    ),
    "photo that is not there to fit on": Mistake(
        "attack photo.png --checkpoint block --attack uap --fit-on absent.png", 1, "absent.png", NO_SUCH
    ),
    "no such photo": Mistake("attack absent.png --checkpoint block", 1, "absent.png", NO_SUCH),
    "folder of photos": Mistake("attack photos --checkpoint block", 1, "photos", r"folder.*(\*|file|photo)"),
    "text as photo": Mistake("attack text.jpg --checkpoint block", 1, "text.jpg", "not an image"),
    "no such checkpoint": Mistake("attack photo.png --checkpoint nowhere", 1, "nowhere", f"{NO_SUCH}|give"),
    "onto the photo": Mistake("attack photo.png --checkpoint block --out .", 1, r"photo\.png", "--out"),
    "onto the photos of a folder": Mistake(
        "attack photos/a.png photos/b.png --checkpoint block --out photos", 1, "photos", "--out"
    ),
    "onto a label table": Mistake("attack photo.png --checkpoint block --out table", 1, "scores.csv", "--out"),
    "into a file": Mistake("attack photo.png --checkpoint block --out notes.txt", 1, "notes.txt", "folder"),
    "below a file": Mistake(
        "attack photo.png --checkpoint block --out notes.txt/attacked", 1, "notes.txt", "folder|cannot be written"
    ),
    "where nobody can write": Mistake(
        "attack photo.png --checkpoint block --out /proc/attacked", 1, "/proc", "--out|written|another"
    ),
}

EVALUATE = {
    "nothing given": Mistake("evaluate", 1, "biq2021", "give --data"),
    "no such checkpoint": Mistake("evaluate nowhere", 1, "nowhere", f"{NO_SUCH}|give"),
    "one missing of two": Mistake("evaluate block nowhere --data table/scores.csv", 1, "nowhere", f"{NO_SUCH}|give"),
    "one name for two": Mistake("evaluate base quick/base --data table/scores.csv", 1, "base", "name"),
    "one checkpoint twice": Mistake("evaluate block block --data table/scores.csv", 1, "block", "name|twice"),
    "checkpoint as an option": Mistake(
        "evaluate --checkpoint block", 2, "--checkpoint", "riqa evaluate|unrec|unknown|--help"
    ),
    "eps in words": Mistake("evaluate block --data table/scores.csv --eps four", 2, "four", "4/255"),
    "eps in 8 bits": Mistake("evaluate block --data table/scores.csv --eps 4", 2, "eps.*4", "4(.0)?/255"),
    "eps by comma": Mistake("evaluate block --data table/scores.csv --eps 2/255,4/255", 2, "2/255,4/255", "4/255"),
    "negative eps": Mistake("evaluate block --data table/scores.csv --eps=-0.1", 2, "eps.*-0.1", "above 0"),
    "eps of zero": Mistake("evaluate block --data table/scores.csv --eps 0", 2, "eps.*0", "above 0"),
    "no steps": Mistake("evaluate block --data table/scores.csv --steps 0", 2, "steps.*0", POSITIVE),
    "steps in words": Mistake("evaluate block --data table/scores.csv --steps ten", 2, "ten", "int|number"),
    "one attacked photo": Mistake(
        "evaluate block --data table/scores.csv --attack-photos 1", 2, "attack-photos.*1", "2|two"
    ),
    "no attacked photo": Mistake(
        "evaluate block --data table/scores.csv --attack-photos 0", 2, "attack-photos.*0", "2|two"
    ),
    "too many devices": Mistake("evaluate block --data table/scores.csv --devices 99", 1, "devices.*99", "1 to|all"),
    "no device": Mistake("evaluate block --data table/scores.csv --devices 0", 1, "devices.*0", "1|all"),
    "devices in words": Mistake("evaluate block --data table/scores.csv --devices many", 2, "many", "all|int|number"),
    "option misspelt": Mistake("evaluate block --data table/scores.csv --maskin", 2, "--maskin", "--masking"),
    "no such table": Mistake("evaluate block --data absent.csv", 1, "absent.csv", "give|no such"),
    "embedded set misspelt": Mistake("evaluate block --data distorted-photo", 1, "distorted-photo", "distorted-photos"),
    "photo as table": Mistake("evaluate block --data photo.png", 1, "photo.png", "CSV|table"),
    "folder of photos as table": Mistake("evaluate block --data photos", 1, "photos", "archive|CSV|table"),
    "folder of the table": Mistake("evaluate block --data table", 1, "table", r"\.csv|CSV"),
    "no such group": Mistake("evaluate block --data table/scores.csv --test-group nine", 1, "nine", "test, train"),
    "group of nothing": Mistake("evaluate block --data table/all_test.csv --test-group train", 1, "train", "groups"),
    "one test photo": Mistake("evaluate block --data table/one_test.csv", 1, "one_test.csv|test", "two|2|more"),
    "equal scores": Mistake("evaluate block --data table/equal.csv", 1, "--test-group test", "score"),
    "table without scores": Mistake("evaluate block --data table/no_scores.csv", 1, "no_scores.csv", "score column"),
    "table without names": Mistake("evaluate block --data table/no_names.csv", 1, "no_names.csv", "name column"),
    "table without header": Mistake("evaluate block --data table/no_header.csv", 1, "no_header.csv", "header|column"),
    "table with a header only": Mistake("evaluate block --data table/header_only.csv", 1, "header_only.csv", "no rows"),
    "empty table": Mistake("evaluate block --data table/empty.csv", 1, "empty.csv", "header"),
    "scores in words": Mistake("evaluate block --data table/words.csv", 1, "words.csv, line 2", "number"),
    "score that is no number": Mistake("evaluate block --data table/nan.csv", 1, "nan.csv, line 2", "finite"),
    "infinite score": Mistake("evaluate block --data table/infinite.csv", 1, "infinite.csv, line 2", "finite"),
    "blank score": Mistake("evaluate block --data table/blank_score.csv", 1, "blank_score.csv, line 2", "number"),
    "blank name": Mistake("evaluate block --data table/blank_name.csv", 1, "blank_name.csv, line 2", "name"),
    "ragged table": Mistake("evaluate block --data table/ragged.csv", 1, "ragged.csv, line 2", "fields"),
    "photo twice": Mistake("evaluate block --data table/twice.csv", 1, "twice.csv, line 3", "keep one"),
    "photo of the table missing": Mistake("evaluate block --data table/missing_photo.csv", 1, "lost.png", "put|not in"),
    "lower is better": Mistake("evaluate block --data table/dmos.csv", 1, "dmos", "lower is better"),
    "table in Latin-1": Mistake("evaluate block --data table/latin.csv", 1, "latin.csv", "UTF-8"),
    "workbook as table": Mistake("evaluate block --data table/book.xlsx", 1, "book.xlsx", "CSV"),
    "JSON as table": Mistake("evaluate block --data table/scores.json", 1, "scores.json", "column|CSV"),
    "broken .mat": Mistake("evaluate block --data table/info.mat", 1, "info.mat", "damaged|not|MATLAB"),
    "into a file": Mistake("evaluate block --data table/scores.csv --out notes.txt", 1, "notes.txt", "folder"),
    "into a checkpoint's file": Mistake(
        "evaluate block --data table/scores.csv --out base/model.json", 1, "base/model.json", "folder"
    ),
    "suite and checkpoint": Mistake("evaluate suite.py block", 1, "suite.py", "no other checkpoint"),
    "option for a suite": Mistake("evaluate suite.py --seed 3", 1, "suite.py", "--out, --devices"),
    "suite with an unknown attack": Mistake("evaluate suite_laser.py", 1, "laser", "there are|choose"),
    "suite with a missing checkpoint": Mistake("evaluate suite_nowhere.py", 1, "nowhere", f"{NO_SUCH}|give"),
    "suite with a missing group": Mistake("evaluate suite_group.py", 1, "nine", "test, train"),
    "configuration of a training": Mistake("evaluate train.py", 1, "train.py.*TrainConfig", "riqa train"),
    "configuration of a study": Mistake("evaluate study.py", 1, "study.py.*StudyConfig", "riqa study"),
    "report instead of a checkpoint": Mistake("evaluate report", 1, "report", "give|riqa"),
}

TRAIN = {
    "nothing given": Mistake("train", 2, "configuration", "give|example"),
    "options only": Mistake("train --steps 3", 2, "configuration", "first"),
    "no such file": Mistake("train absent.py", 1, "absent.py", "no such"),
    "name misspelt": Mistake("train clive_lit0", 1, "clive_lit0", "did you mean clive_lite0"),
    "no such name": Mistake("train absent", 1, "absent", "clive_lite0"),
    "a study's name": Mistake("train quickstart", 1, "quickstart.*StudyConfig", "riqa (study|quickstart)"),
    "a study's file": Mistake("train study.py", 1, "study.py.*StudyConfig", "riqa study"),
    "a suite's file": Mistake("train suite.py", 1, "suite.py.*SuiteConfig", "riqa evaluate"),
    "JSON as configuration": Mistake("train config.json", 1, "config.json", r"\.py"),
    "table as configuration": Mistake("train table/scores.csv", 1, "table/scores.csv", r"\.py"),
    "folder as configuration": Mistake("train base", 1, "base", r"\.py"),
    "configuration with a syntax error": Mistake("train syntax.py", 1, "syntax.py", "SyntaxError.*line 1"),
    "configuration without get_config": Mistake("train nothing.py", 1, "nothing.py", r"get_config\(\)"),
    "configuration that returns nothing": Mistake("train none.py", 1, "none.py.*NoneType", "TrainConfig"),
    "configuration that returns a dictionary": Mistake("train dictionary.py", 1, "dictionary.py.*dict", "TrainConfig"),
    "configuration that raises": Mistake("train raising.py", 1, "raising.py", "RuntimeError: no colour today"),
    "configuration that imports what is missing": Mistake("train importing.py", 1, "importing.py", "that_nobody_has"),
    "configuration with an argument": Mistake("train argument.py", 1, "argument.py", "get_config"),
    "configuration with an unknown field": Mistake("train unknown_field.py", 1, "unknown_field.py.*stepps", "stepps"),
    "backbone without weights": Mistake("train weightless.py", 1, "resnet18", "riqa convert|start_from|start-from"),
    "two configurations": Mistake("train train.py train.py", 2, "train.py", "unrec|unknown|one"),
    "option misspelt": Mistake("train train.py --stpes 3", 2, "--stpes", "--steps"),
    "switch of another command": Mistake("train train.py --suite", 2, "--suite", "--help|unknown|unrec"),
    "no such table": Mistake("train train.py --data absent.csv", 1, "absent.csv", "give|no such"),
    "table by URL": Mistake("train train.py --data https://a.org/b.csv", 2, "https://a.org/b.csv", "download|give"),
    "no such group": Mistake("train train.py --test-group nine", 1, "--test-group nine", "test, train"),
    "no such validation group": Mistake("train train.py --validation-group nine", 1, "-group nine", "test, train"),
    "one group for two": Mistake("train train.py --validation-group test", 1, "--validation-group test", "another"),
    "only test photos": Mistake("train train.py --data table/all_test.csv", 1, "test", "train on"),
    "one test photo": Mistake("train train.py --data table/one_test.csv", 1, "test", "two|2|more"),
    "equal scores": Mistake("train train.py --data table/equal.csv", 1, "--test-group test", "score"),
    "negative steps": Mistake("train train.py --steps=-5", 1, "--steps -5", POSITIVE),
    "no steps": Mistake("train train.py --steps 0", 1, "--steps 0", POSITIVE),
    "steps in words": Mistake("train train.py --steps ten", 2, "--steps.*ten", "int|number"),
    "half a step": Mistake("train train.py --steps 2.5", 2, "--steps.*2.5", "int|number"),
    "negative epochs": Mistake("train train.py --steps None --epochs=-1", 1, "--epochs -1", POSITIVE),
    "no batch": Mistake("train train.py --batch-size 0", 1, "--batch-size 0", POSITIVE),
    "batch beyond the photos": Mistake("train train.py --batch-size 99", 1, "batch of 99", "--batch-size"),
    "negative rate": Mistake("train train.py --learning-rate=-1", 1, "--learning-rate -1", POSITIVE),
    "rate that is no number": Mistake("train train.py --learning-rate nan", 2, "--learning-rate nan", "number|finite"),
    "average beyond one": Mistake("train train.py --ema 2", 1, "--ema 2", "between 0 and 1"),
    "uneven parts": Mistake("train train.py --accumulate 3", 1, "--accumulate 3", "divide"),
    "patience without validation": Mistake("train train.py --patience 3", 1, "--patience 3", "--validation-group"),
    "share of filters beyond one": Mistake("train train.py --prune 2", 1, "2", r"\[0, 1\)"),
    "no such pruning": Mistake("train train.py --prune 0.1 --prune-method l3", 2, "l3", "l2"),
    "no such start of the block": Mistake("train train.py --block-start magic", 2, "magic", "projection"),
    "no such start": Mistake("train train.py --start-from nowhere", 1, "nowhere", f"{NO_SUCH}|give"),
    "photo as start": Mistake("train train.py --start-from photo.png", 1, "photo.png", "folder|riqa convert"),
    "start of another model": Mistake("train train.py --start-from base", 1, "--start-from base", "another model"),
    "weights as start": Mistake("train train.py --start-from backbone", 1, "backbone", "riqa convert"),
    "crop beyond the photo": Mistake("train train.py --crop 999", 1, "--crop 999", r"1\.\.32"),
    "no such feature map": Mistake("train train.py --train-from stage99", 1, "stage99", "stage"),
    "maps of layers that are not frozen": Mistake("train train.py --cache-frozen", 1, "cache-frozen", "train-from"),
    "no such loss": Mistake("train train.py --loss l9", 2, "l9", "norm-in-norm"),
    "no such backbone": Mistake("train train.py --model.backbone resnet9", 2, "resnet9", "resnet18"),
    "one side for two": Mistake("train train.py --model.input-size 64", 2, "input-size", "int|two|2"),
    "no such type": Mistake("train train.py --compute-dtype float8", 2, "float8", "bfloat16"),
    "no such way over devices": Mistake("train train.py --parallel all", 2, "all", "sharded"),
    "into a file": Mistake("train train.py --workdir notes.txt", 1, "notes.txt", "choose|folder|another"),
    "into another run": Mistake("train train.py --workdir other_run", 1, "other_run.*steps", "--workdir"),
    "where nobody can write": Mistake("train train.py --workdir /proc/run", 1, "/proc/run", "choose|another"),
    "processes in words": Mistake(
        "train train.py", 1, "RIQA_PROCESSES=two", "counts|number",
        {"RIQA_COORDINATOR": "localhost:1234", "RIQA_PROCESSES": "two", "RIQA_PROCESS": "0"},
    ),
    "one variable of three": Mistake("train train.py", 1, "RIQA_PROCESSES", "set all three", {"RIQA_PROCESSES": "2"}),
    "a process too many": Mistake(
        "train train.py", 1, "RIQA_PROCESS=2", "from 0 to",
        {"RIQA_COORDINATOR": "localhost:1234", "RIQA_PROCESSES": "2", "RIQA_PROCESS": "2"},
    ),
}  # fmt: skip

STUDY = {
    "nothing given": Mistake("study", 2, "config|study", "give|required|missing"),
    "no such file": Mistake("study absent.py", 1, "absent.py", "no such"),
    "name misspelt": Mistake("study clive_reducd", 1, "clive_reducd", "did you mean clive_reduced"),
    "a training's name": Mistake("study clive_lite0", 1, "clive_lite0.*TrainConfig", "riqa train"),
    "a training's file": Mistake("study train.py", 1, "train.py.*TrainConfig", "riqa train"),
    "table of the configuration missing": Mistake("study clive_reduced", 1, "clive/scores.csv", "--data|give"),
    "no such group": Mistake("study study.py --test-group nine", 1, "nine", "test, train"),
    "option of a training": Mistake("study study.py --steps 3", 2, "--steps", "--help|unknown|unrec"),
    "into a file": Mistake("study study.py --out notes.txt", 1, "notes.txt", "folder|choose|another"),
    "backbone without weights, last of all": Mistake(
        "study weightless_study.py", 1, "resnet18", "riqa convert|start|weights"
    ),
    "one test photo": Mistake("study study.py --data table/one_test.csv", 1, "test", "two|2|more"),
    "quickstart into a file": Mistake("quickstart --out config.json", 1, "config.json", "folder|choose|another"),
    "quickstart with photos": Mistake("quickstart photos", 2, "photos", "unrec|unknown|no arguments|--help"),
    "quickstart with steps": Mistake("quickstart --steps 1", 2, "--steps", "--help|unknown|unrec"),
    "quickstart without a folder": Mistake("quickstart --out", 2, "--out", "expected|give|missing|needs"),
}

REPORT = {
    "nothing given": Mistake("report", 2, "folder", "give|required|missing"),
    "no such folder": Mistake("report nowhere", 1, "nowhere", "riqa evaluate"),
    "folder of photos": Mistake("report photos", 1, "photos", "riqa evaluate"),
    "empty folder": Mistake("report nothing", 1, "nothing", "riqa evaluate"),
    "checkpoint": Mistake("report base", 1, "base", "riqa evaluate"),
    "file of the report": Mistake("report report/report.json", 1, "report/report.json", "folder"),
    "not a report": Mistake("report report_no_json", 1, "report_no_json/report.json", "not a report"),
    "empty report": Mistake("report report_no_rows", 1, "report_no_rows/report.json", "not a report"),
    "damaged scores": Mistake("report report_bad_row", 1, "per_image.csv: line 2", "row"),
    "no such photos": Mistake("report report --data absent --out page", 1, "absent", "give|no such"),
    "into a file": Mistake("report report --out notes.txt", 1, "notes.txt", "folder|choose|another"),
    "option misspelt": Mistake("report report --titel x", 2, "--titel", "--title"),
}

COMPARE = {
    "nothing given": Mistake("compare", 2, "FOLDER", "required|give|missing"),
    "one of two": Mistake("compare report:base", 2, "the other|FOLDER", "required|give|missing"),
    "three": Mistake("compare report:base report:robust report:base", 2, "report:base", "unrec|unknown|two"),
    "no model named": Mistake("compare report report", 2, "report", "report:MODEL.*base"),
    "no such model": Mistake("compare report:base report:nobody", 2, "nobody", "base, robust"),
    "model misspelt": Mistake("compare report:base report:robst", 2, "robst", "robust"),
    "one model twice": Mistake("compare report:base report:base", 2, "report:base", "two"),
    "no such folder": Mistake("compare nowhere:base report:base", 1, "nowhere", "riqa evaluate"),
    "checkpoints": Mistake("compare base block", 1, "base", "riqa evaluate"),
    "onto a folder": Mistake("compare report:base report:robust --out photos", 1, "photos", "file|folder"),
    "onto a file of mine": Mistake(
        "compare report:base report:robust --out notes.txt", 1, "notes.txt", r"\.png|another"
    ),
}

PRUNE = {
    "nothing given": Mistake("prune", 2, "checkpoint", "required|give|missing"),
    "no folder for the result": Mistake("prune base", 2, "--out", "required|give|missing"),
    "onto the checkpoint": Mistake("prune block --out block", 1, "--out block", "another folder"),
    "no such checkpoint": Mistake("prune nowhere --out pruned", 1, "nowhere", f"{NO_SUCH}|give"),
    "more than everything": Mistake("prune block --out pruned --amount 2", 1, "amount.*2", r"\[0, 1\)"),
    "in per cent": Mistake("prune block --out pruned --amount 10", 1, "amount.*10", r"\[0, 1\)"),
    "less than nothing": Mistake("prune block --out pruned --amount=-0.1", 1, "amount.*-0.1", r"\[0, 1\)"),
    "amount in words": Mistake("prune block --out pruned --amount half", 2, "half", "float|number"),
    "no such method": Mistake("prune block --out pruned --method l3", 2, "l3", "l2"),
    "method that needs photos": Mistake("prune block --out pruned --method pls", 1, "pls", "photos|--data"),
    "no such table": Mistake(
        "prune block --out pruned --method pls --data absent.csv", 1, "absent.csv", "give|no such"
    ),
    "no such group": Mistake(
        "prune block --out pruned --data table/scores.csv --test-group nine", 1, "nine", "test, train"
    ),
    "into a file": Mistake("prune block --out notes.txt", 1, "notes.txt", "folder|choose|another"),
    "option misspelt": Mistake("prune block --out pruned --compct", 2, "--compct", "--compact"),
}

MODELS = {
    "no such model": Mistake("models nope", 1, "nope", "riqa models|there are"),
    "model misspelt": Mistake("models koncept51", 1, "koncept51", "did you mean koncept512"),
    "checkpoint": Mistake("models base", 1, "base", "riqa models|there are"),
    "option misspelt": Mistake("models --jsn", 2, "--jsn", "--json"),
}

LITE = "--model linearity-efficientnet_lite0"
CONVERT = {
    "nothing given": Mistake("convert", 2, "source|out|model", "required|give|missing"),
    "no model named": Mistake("convert strange.pth converted", 2, "--model", "required|give|missing"),
    "no such model": Mistake("convert strange.pth converted --model nope", 1, "nope", "riqa models|there are"),
    "model misspelt": Mistake(
        "convert strange.pth converted --model koncept51", 1, "koncept51", "did you mean koncept512"
    ),
    "no such file": Mistake(f"convert absent.pth converted {LITE}", 1, "absent.pth", "no such"),
    "URL": Mistake(
        f"convert https://example.org/a.pth converted {LITE}", 2, "https://example.org/a.pth", "download|file"
    ),
    "web page": Mistake(f"convert page.pth converted {LITE}", 1, "page.pth", "web page"),
    "Git LFS pointer": Mistake(f"convert pointer.pth converted {LITE}", 1, "pointer.pth", "git[ -]lfs"),
    "empty file": Mistake(f"convert empty.pth converted {LITE}", 1, "empty.pth", "empty|damaged|again"),
    "photo": Mistake(f"convert photo.pth converted {LITE}", 1, "photo.pth", "not|damaged|neither"),
    "cut file": Mistake(f"convert cut.pth converted {LITE}", 1, "cut.pth", "damaged|truncated|again"),
    "text as safetensors": Mistake(f"convert text.safetensors converted {LITE}", 1, "text.safetensors", "damaged|not"),
    "ONNX": Mistake(f"convert net.onnx converted {LITE}", 1, "net.onnx", r"not|\.pth"),
    "whole module": Mistake(f"convert whole.pth converted {LITE}", 1, "whole.pth", "state_dict"),
    "file that would be executed": Mistake(
        f"convert executes.pth converted {LITE}", 1, "executes.pth", "os.system|system|state_dict"
    ),
    "file without tensors": Mistake(
        f"convert no_tensors.pth converted {LITE}", 1, "no_tensors.pth", "no tensors|not a tensor"
    ),
    "weights of another model": Mistake(
        f"convert strange.pth converted {LITE}", 1, "strange.pth.*does not fit", "missing"
    ),
    "safetensors of another model": Mistake(
        f"convert strange.safetensors converted {LITE}", 1, "strange.safetensors", "missing"
    ),
    "nothing that fits, with leave": Mistake(
        f"convert strange.pth converted {LITE} --allow-missing", 1, "strange.pth", "does not fit|nothing|no tensor"
    ),
    "own checkpoint": Mistake(f"convert base converted {LITE}", 1, "base", "already|of riqa|is one"),
    "folder of photos": Mistake(f"convert photos converted {LITE}", 1, "photos", "not|orbax"),
    "into a file": Mistake(f"convert strange.pth notes.txt {LITE}", 1, "notes.txt", "folder|choose|another"),
    "slope in words": Mistake(f"convert strange.pth converted {LITE} --slope steep", 2, "steep", "float|number"),
    "option misspelt": Mistake(
        f"convert strange.pth converted {LITE} --alow-missing", 2, "--alow-missing", "--allow-missing"
    ),
}

BENCH = {
    "nothing given": Mistake("bench", 2, "bench", "robust_block"),
    "no such benchmark": Mistake("bench laser", 2, "laser", "robust_block"),
    "benchmark misspelt": Mistake("bench robust_blok", 2, "robust_blok", "robust_block"),
    "no such case": Mistake("bench fft_core --case position9", 1, "position9", "position6"),
    "no such implementation": Mistake("bench robust_block --impl magic", 1, "magic", "factored"),
    "batch in words": Mistake("bench solvers --batch two", 2, "two", "int|number"),
    "rows onto a folder": Mistake("bench solvers --json photos", 1, "photos", "file|folder"),
    "trace into a file": Mistake("bench fft_core --trace notes.txt", 1, "notes.txt", "folder|another"),
    "option misspelt": Mistake("bench solvers --repaets 3", 2, "--repaets", "--repeats"),
}


def scorer(name="base"):
    return riqa.load(name)


def attacked(score=mean, key=KEY, images=PIXELS, **settings):
    return pgd(**{"steps": 1, **settings})(score, key, images)


def evaluated(score=mean, images=PIXELS, **options):
    return riqa.evaluate(score, images, **{"attacks": [pgd(steps=1)], **options})


def convolved(images=MAP, features=4, **options):
    return jax.eval_shape(CayleyConv(features, **options).init, KEY, images)


def stray(value):
    """A score function that returns something that does not depend on its images."""
    return lambda images: value


CALLS = {
    "key that is text": Mistake(lambda: attacked(key="seed"), BAD, "key.*seed", "jax.random.key"),
    "key that is half a number": Mistake(lambda: attacked(key=0.5), BAD, "key.*0.5", "jax.random.key"),
    "no key": Mistake(lambda: attacked(key=None), BAD, "key.*None", "jax.random.key"),
    "key and images swapped": Mistake(
        lambda: attacked(key=PIXELS, images=KEY), BAD, "key|images", "jax.random.key|shape"
    ),
    "too few keys": Mistake(lambda: attacked(key=jax.random.split(KEY, 3)), BAD, r"\(3,\)", "2 keys"),
    "eps as text": Mistake(lambda: pgd(eps="4/255"), BAD, "eps.*'4/255'", "number"),
    "eps in 8 bits": Mistake(lambda: pgd(eps=4), BAD, "eps.*4", "4/255"),
    "eps beyond all": Mistake(lambda: pgd(eps=300.0), BAD, "eps.*300", "/255"),
    "infinite eps": Mistake(lambda: pgd(eps=jnp.inf), BAD, "eps.*inf", "finite"),
    "eps that is no number": Mistake(lambda: pgd(eps=float("nan")), BAD, "eps.*nan", "finite"),
    "eps of zero": Mistake(lambda: pgd(eps=0), BAD, "eps.*0", "above 0"),
    "negative eps": Mistake(lambda: pgd(eps=-4 / 255), BAD, "eps.*-0.01", "above 0"),
    "large eps": Mistake(lambda: pgd(eps=0.5), UserWarning, "eps", "4/255"),
    "eps beyond all by replace": Mistake(lambda: pgd().replace(eps=8), BAD, "eps.*8", "8/255"),
    "eps of another attack in 8 bits": Mistake(lambda: riqa.attacks.fgsm(eps=10), BAD, "eps.*10", "10/255"),
    "no steps": Mistake(lambda: pgd(steps=0), BAD, "steps.*0", "above 0"),
    "half a step": Mistake(lambda: pgd(steps=2.5), BAD, "steps.*2.5", "whole"),
    "steps as text": Mistake(lambda: pgd(steps="8"), BAD, "steps.*'8'", "number|whole"),
    "no such norm": Mistake(lambda: pgd(norm="l7"), BAD, "norm.*l7", "linf"),
    "no such direction": Mistake(lambda: pgd(direction="up"), BAD, "direction.*up", "raise"),
    "no such variant": Mistake(lambda: pgd(variant="a"), BAD, "variant.*'a'", "a-kon"),
    "no restarts": Mistake(lambda: pgd(restarts=0), BAD, "restarts.*0", POSITIVE),
    "scorer where eps belongs": Mistake(lambda: pgd(mean), BAD, "eps", "number"),
    "no chunk": Mistake(lambda: pgd()(mean, KEY, PIXELS, chunk=0), BAD, "chunk.*0", "above 0"),
    "chunks of a batch": Mistake(
        lambda: pgd(direction="invert")(mean, KEY, PIXELS, chunk=1), BAD, "chunks of 1", "whole"
    ),
    "no such attack": Mistake(lambda: attack_registry.make("laser"), BAD, "laser", "there are|choose"),
    "attack misspelt": Mistake(lambda: attack_registry.make("pdg"), BAD, "pdg", "did you mean pgd"),
    "no such setting": Mistake(lambda: attack_registry.make("pgd", step=3), BAD, "'step'", "steps"),
    "universal attack that is not fitted": Mistake(
        lambda: attack_registry.make("uap")(mean, KEY, PIXELS), BAD, "uap", "fit"
    ),
    "one image": Mistake(lambda: attacked(images=PIXELS[0]), BAD, r"\(8, 8, 3\)", r"image\[None\]"),
    "pixels in 8 bits": Mistake(lambda: attacked(images=PIXELS * 255), BAD, r"\[0, 1\]", "255"),
    "integer pixels": Mistake(lambda: attacked(images=np.uint8(PIXELS * 255)), BAD, "uint8", "255"),
    "negative pixels": Mistake(lambda: attacked(images=PIXELS - 0.5), BAD, r"-0\.39", r"\[0, 1\]"),
    "pixels that are no numbers": Mistake(lambda: attacked(images=PIXELS * np.nan), BAD, "NaN", r"\[0, 1\]"),
    "path as images": Mistake(lambda: attacked(images="photo.png"), BAD, "str|photo.png", "array|images"),
    "no images": Mistake(lambda: attacked(images=None), BAD, "None", "images"),
    "images of two sizes": Mistake(lambda: attacked(images=[PIXELS[0], PIXELS[1, :4]]), BAD, "one size", "resize"),
    "path as scorer": Mistake(lambda: attacked("base"), BAD, "base|str", "riqa.load|function"),
    "no scorer": Mistake(lambda: attacked(None), BAD, "None", "riqa.load|function"),
    "scores as a column": Mistake(lambda: attacked(lambda x: mean(x)[:, None]), BAD, r"\(2, 1\)", r"\[:, 0\]"),
    "score of each channel": Mistake(lambda: attacked(lambda x: x.mean((1, 2))), BAD, r"\(2, 3\)", r"\(2,\)"),
    "one score for all": Mistake(lambda: attacked(lambda x: x.mean()), BAD, r"\(\)", r"\(2,\)"),
    "scores as a list": Mistake(lambda: attacked(lambda x: list(mean(x))), BAD, "list", r"\(2,\)"),
    "scores as a tuple": Mistake(lambda: attacked(lambda x: (mean(x), x)), BAD, "tuple", r"\(2,\)"),
    "scores as a dictionary": Mistake(lambda: attacked(lambda x: {"score": mean(x)}), BAD, "dict", r"\(2,\)"),
    "scores that are nothing": Mistake(lambda: attacked(stray(None)), BAD, "None", r"\(2,\)"),
    "whole scores": Mistake(lambda: attacked(lambda x: jnp.int32(mean(x) * 100)), BAD, "int32", "float"),
    "scores that are no numbers": Mistake(lambda: attacked(lambda x: mean(x) * jnp.nan), BAD, "nan", r"image 0"),
    "infinite scores": Mistake(lambda: attacked(lambda x: mean(x) / 0), BAD, "inf", r"image 0"),
    "scorer, pixels in 8 bits": Mistake(lambda: scorer()(PIXELS * 255), BAD, r"\[0, 1\]", "255"),
    "scorer, integer pixels": Mistake(lambda: scorer()(np.uint8(PIXELS * 255)), BAD, "uint8", "255"),
    "scorer, one image": Mistake(lambda: scorer()(PIXELS[0]), BAD, r"\(8, 8, 3\)", r"image\[None\]"),
    "scorer, no numbers": Mistake(lambda: scorer()(PIXELS * np.nan), BAD, "NaN", r"\[0, 1\]"),
    "scorer, grey": Mistake(lambda: scorer()(PIXELS[..., :1]), BAD, r"\(2, 8, 8, 1\)", "3"),
    "scorer, channels first": Mistake(lambda: scorer()(PIXELS.transpose(0, 3, 1, 2)), BAD, r"\(2, 3, 8, 8\)", "3"),
    "scorer, no image": Mistake(lambda: scorer()(PIXELS[:0]), BAD, r"\(0, 8, 8, 3\)|no image|empty", "image"),
    "scorer, path": Mistake(lambda: scorer()("photo.png"), BAD, "str|photo.png", "array|images"),
    "load, no such folder": Mistake(lambda: riqa.load("nowhere"), BAD, "nowhere", f"{NO_SUCH}|give"),
    "load, folder above": Mistake(lambda: riqa.load("quick"), BAD, "quick", "base.*robust.*robust-pruned"),
    "load, photo": Mistake(lambda: riqa.load("photo.png"), BAD, "photo.png", "folder|riqa convert"),
    "load, weights": Mistake(lambda: riqa.load("strange.pth"), BAD, "strange.pth", "riqa convert"),
    "load, number": Mistake(lambda: riqa.load(3), BAD, "int|3", "path|PathLike|folder"),
    "evaluate, attack misspelt": Mistake(lambda: evaluated(attacks=["pdg"]), BAD, "pdg", "did you mean pgd"),
    "evaluate, number for an attack": Mistake(lambda: evaluated(attacks=[3]), BAD, "int|3", "attack"),
    "evaluate, no attacks": Mistake(lambda: evaluated(attacks=None), BAD, "attack", "NoneType|None"),
    "evaluate, eps for attacks": Mistake(lambda: evaluated(attacks=4 / 255), BAD, "float|0.01", "attack"),
    "evaluate, unfitted attack": Mistake(lambda: evaluated(attacks=[attack_registry.make("uap")]), BAD, "uap", "fit"),
    "evaluate, one photo": Mistake(lambda: evaluated(images=PIXELS[:1]), BAD, "1|one", "two|2"),
    "evaluate, one image": Mistake(lambda: evaluated(images=PIXELS[0]), BAD, r"\(8, 8, 3\)", "height"),
    "evaluate, pixels in 8 bits": Mistake(lambda: evaluated(images=PIXELS * 255), BAD, r"\[0, 1\]", "255"),
    "evaluate, too many opinions": Mistake(lambda: evaluated(mos=[1.0, 2.0, 3.0]), BAD, "3 mos", "2 images"),
    "evaluate, opinions in words": Mistake(lambda: evaluated(mos=["good", "bad"]), BAD, "mos", "number|float"),
    "evaluate, opinions that are no numbers": Mistake(lambda: evaluated(mos=[1.0, np.nan]), BAD, "mos", "finite|NaN"),
    "evaluate, equal opinions": Mistake(lambda: evaluated(mos=[5.0, 5.0]), BAD, "mos|scores", "equal|same|differ"),
    "evaluate, too few names": Mistake(lambda: evaluated(names=["a"]), BAD, "1 names", "2 images"),
    "evaluate, key that is text": Mistake(lambda: evaluated(key="seed"), BAD, "key.*seed", "jax.random.key"),
    "evaluate, no batch": Mistake(lambda: evaluated(batch_size=0), BAD, "batch_size.*0", POSITIVE),
    "evaluate, too many devices": Mistake(lambda: evaluated(devices=99), BAD, "devices.*99", "all"),
    "evaluate, devices in words": Mistake(lambda: evaluated(devices="two"), BAD, "devices.*two", "all"),
    "evaluate, baseline's path": Mistake(
        lambda: evaluated(baseline="base"), BAD, "baseline", "riqa.load|function|scores"
    ),
    "evaluate, path as scorer": Mistake(lambda: evaluated("base"), BAD, "base|str", "riqa.load|function"),
    "evaluate, equal scores": Mistake(
        lambda: evaluated(lambda x: 0 * mean(x)), BAD, "scores?", "equal|same|range|constant"
    ),
    "evaluate, scores as a column": Mistake(
        lambda: evaluated(lambda x: mean(x)[:, None]), BAD, r"\(2, 1\)", r"\[:, 0\]"
    ),
    "evaluate, one score for all": Mistake(lambda: evaluated(lambda x: x.mean()), BAD, r"\(\)", r"\(2,\)"),
    "evaluate, scores that are no numbers": Mistake(
        lambda: evaluated(lambda x: mean(x) * jnp.nan), BAD, "nan", "image 0"
    ),
    "masking, range the wrong way": Mistake(
        lambda: gradient_masking(mean, KEY, PIXELS, score_range=(100, 0)), BAD, r"\(100, 0\)", "lowest"
    ),
    "masking, eps in 8 bits": Mistake(lambda: gradient_masking(mean, KEY, PIXELS, eps=4), BAD, "eps.*4", "4/255"),
    "masking, key that is text": Mistake(lambda: gradient_masking(mean, "seed", PIXELS), BAD, "key", "jax.random.key"),
    "masking, no steps": Mistake(lambda: gradient_masking(mean, KEY, PIXELS, steps=0), BAD, "steps.*0", "above 0"),
    "suite without models": Mistake(lambda: SuiteConfig({}), BAD, "models", "at least one"),
    "suite, baseline that is no model": Mistake(
        lambda: SuiteConfig({"a": "a"}, baselines={"a": "b"}), BAD, "'b'", "models: a"
    ),
    "suite, attack misspelt": Mistake(lambda: SuiteAttack("pdg"), BAD, "pdg", "did you mean pgd"),
    "suite, one size that is no tuple": Mistake(lambda: SuiteAttack("pgd", 4 / 255), BAD, "pgd", "eps=.4 / 255"),
    "suite, eps among the settings": Mistake(lambda: SuiteAttack("pgd", settings={"eps": 0.1}), BAD, "pgd", "eps=.4"),
    "eot of a name": Mistake(lambda: riqa.attacks.eot("pgd"), BAD, "'pgd'", "riqa.attacks.pgd"),
    "transfer of a class": Mistake(
        lambda: riqa.attacks.transfer(riqa.attacks.pgd, mean), BAD, "transfer", "riqa.attacks.pgd"
    ),
    "transfer from a name": Mistake(
        lambda: riqa.attacks.transfer(pgd(), "twin"), BAD, "'twin'", "function from images"
    ),
    "suite, attack without sizes": Mistake(lambda: SuiteAttack("pgd", ()), BAD, "pgd", "at least one eps"),
    "suite, eps in 8 bits": Mistake(lambda: SuiteAttack("pgd", (4,)), BAD, "eps.*4", "4/255"),
    "table's column misspelt": Mistake(
        lambda: read_label_table("table/scores.csv", score_column="moss"), BAD, "'moss'", "image_name, mos, split"
    ),
    "photos that are not there": Mistake(lambda: open_photos("absent.csv"), BAD, "absent.csv", "give|no such"),
    "no such group of photos": Mistake(lambda: open_photos("table/scores.csv").select("tset"), BAD, "tset", "'test'"),
    "convolution, sides as text": Mistake(lambda: convolved(kernel_size="3x3"), BAD, "kernel_size", "3x3|str"),
    "convolution, three sides": Mistake(
        lambda: convolved(kernel_size=(3, 3, 3)), BAD, "kernel_size", r"two|pair|both sides|\(kh, kw\)"
    ),
    "convolution, side of zero": Mistake(
        lambda: convolved(kernel_size=(0, 3)), BAD, r"kernel_size.*\(0, 3\)", POSITIVE
    ),
    "convolution, one row": Mistake(lambda: convolved(MAP[0, 0]), BAD, r"\(6, 4\)", "height|n, h, w"),
    "convolution, no channels": Mistake(
        lambda: convolved(MAP[..., :0]), BAD, "channels", "at least|no |1 or more|above 0"
    ),
    "convolution, no features": Mistake(lambda: convolved(features=0), BAD, "features.*0", POSITIVE),
    "convolution, strides of four": Mistake(lambda: convolved(strides=4), BAD, "stride.*4", "multiple|divide"),
    "convolution, stride on odd sides": Mistake(lambda: convolved(MAP[:, :5], strides=2), BAD, "5", "even|stride"),
    "convolution, no such norm": Mistake(lambda: convolved(norm="l2"), BAD, "norm.*l2", "taps"),
    "convolution, no such solver": Mistake(lambda: convolved(solver="magic"), BAD, "solver.*magic", "auto|choose"),
    "convolution, no such compat": Mistake(lambda: convolved(compat="papers"), BAD, "compat.*papers", "authors"),
}

GROUPS = {
    "riqa": COMMANDS, "score": SCORE, "attack": ATTACK, "evaluate": EVALUATE, "train": TRAIN, "study": STUDY,
    "report": REPORT, "compare": COMPARE, "prune": PRUNE, "models": MODELS, "convert": CONVERT, "bench": BENCH,
    "Python": CALLS,
}  # fmt: skip
MISTAKES = {f"{group}, {what}": mistake for group, rows in GROUPS.items() for what, mistake in rows.items()}


class Reached(BaseException):
    """A model was about to be run or trained; no `except Exception` catches it."""


def reached(what: str) -> Callable[..., Any]:
    def stand_in(*args: Any, **options: Any) -> Any:
        raise Reached(what)

    return stand_in


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mistakes") / "home"
    folder.mkdir()
    with tiny_backbone.registered():
        mistaken_folder.write(folder)
        yield folder


@pytest.fixture(scope="module")
def home(master):
    """The folder that every mistake is made in; a copy, made again where one of them changed it."""
    return Home(master, master.with_name("work"))


@pytest.fixture
def idle(monkeypatch):
    """Whatever takes long raises Reached: running a model, preparing or drawing one, attacking, a training step,
    measuring the machine."""
    monkeypatch.setattr(Scorer, "__call__", reached("a model's scores"))
    monkeypatch.setattr(Scorer, "prepare", lambda self: self if self.spec.block is None else reached("a block")())
    monkeypatch.setattr(Attack, "__call__", reached("an attack"))
    for module, name in ((model_registry, "with_fresh_parts"), (start, "with_fresh_parts"), (loop, "train_step")):
        monkeypatch.setattr(module, name, reached(name))
    from robust_iqa_jax.benchmarks import fft_core, robust_block, solvers

    for module in (fft_core, robust_block, solvers):
        monkeypatch.setattr(module, "ceilings", reached("the machine's limits"))


FOLDER = (0, 0, 0)


def contents(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file below with its number, size and time of its last change, none of which a write leaves as it was, and
    every folder."""
    files: dict[str, tuple[int, int, int]] = {}
    for place, folders, names in os.walk(folder):
        files |= dict.fromkeys((f"{place}/{name}" for name in folders), FOLDER)
        for name in names:
            status = os.lstat(f"{place}/{name}")
            files[f"{place}/{name}"] = status.st_ino, status.st_size, status.st_mtime_ns
    return files


class Home:
    """A copy of a folder, and what it holds."""

    def __init__(self, master: Path, folder: Path) -> None:
        self.master, self.folder = master, folder
        self.copy()

    def copy(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.master, self.folder)
        self.before = contents(self.folder)


@pytest.fixture
def here(home, monkeypatch):
    """The working folder as the current one; nothing in it may be changed, and nothing added but empty folders."""
    monkeypatch.chdir(home.folder)
    for name in ("RIQA_COORDINATOR", "RIQA_PROCESSES", "RIQA_PROCESS", "RIQA_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    yield home.folder
    before, after = home.before, contents(home.folder)
    if after != before:
        home.copy()
    added = {path for path in after if path not in before and after[path] != FOLDER}
    assert added == set()
    assert {path for path in before if after.get(path) != before[path]} == set()


@pytest.mark.parametrize("what", [name for name, mistake in MISTAKES.items() if isinstance(mistake.act, str)])
def test_a_mistake_on_the_command_line_is_one_line(what, here, idle, capsys, monkeypatch):
    mistake = MISTAKES[what]
    for name, value in mistake.environment.items():
        monkeypatch.setenv(name, value)
    try:
        status = main(shlex.split(mistake.act))
    except SystemExit as stop:
        status = stop.code
    except Reached as work:
        pytest.fail(f"{mistake.act}: reached {work}")
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.strip() and not NOTE.match(line)]
    assert len(lines) == 1, captured.err
    assert lines[0].isprintable()  # no mark of a setting is left
    assert re.search(mistake.culprit, lines[0], re.IGNORECASE), lines[0]
    assert re.search(mistake.cure, lines[0], re.IGNORECASE), lines[0]
    assert captured.out.strip() == "" or mistake.act.startswith("convert")  # which shows what became of each tensor
    assert status == mistake.status, lines[0]


@pytest.mark.parametrize("what", [name for name, mistake in MISTAKES.items() if callable(mistake.act)])
def test_a_mistake_in_python_is_one_line(what, here):
    mistake = MISTAKES[what]
    warnings.simplefilter("error")  # for this test: pytest restores the filters
    with pytest.raises(mistake.status) as raised:
        mistake.act()
    message = str(raised.value)
    assert message.isprintable()
    assert re.search(mistake.culprit, message, re.IGNORECASE), message
    assert re.search(mistake.cure, message, re.IGNORECASE), message


def test_the_table_is_long_enough():
    assert len(MISTAKES) >= 150
