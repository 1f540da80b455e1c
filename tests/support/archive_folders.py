"""Folders with the file names, formats and counts of the published archives; only their first photo has pixels."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

GREY = 77
"""Of every pixel of the first photo."""


def photos(folder: Path, names: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        if i:
            (folder / name).touch()
        else:
            Image.new("L", (8, 6), GREY).save(folder / name)


def table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


KONIQ = [f"{i}.jpg" for i in range(10_073)]
KONIQ_SETS = ["training"] * 7_058 + ["validation"] * 1_000 + ["test"] * 2_015


def koniq10k(folder: Path, names: Sequence[str] = KONIQ, sets: Sequence[str] = KONIQ_SETS) -> None:
    header = ("image_name", "c1", "c2", "c3", "c4", "c5", "c_total", "MOS", "SD", "set")
    rows = [(name, 0, 0, 0.2, 0.7, 0.1, 105, 5 + i / 200, 0.5, sets[i]) for i, name in enumerate(names)]
    table(folder / "koniq10k_distributions_sets.csv", header, rows)
    photos(folder / "512x384", names)


def koniq10k_folders(folder: Path, sizes: Sequence[int] = (7_058, 1_000, 2_015)) -> None:
    start = 0
    for split, count in zip(("train", "val", "test"), sizes, strict=True):
        names = KONIQ[start : start + count]
        photos(folder / split / "1024x768", names)
        rows = [(name, 5 + (start + i) / 200, 0.5, 0) for i, name in enumerate(names)]
        table(folder / split / "1024x768/metadata.csv", ("image", "label", "label_std", "percentile"), rows)
        start += count


def info_mat(path: Path, names: Sequence[str], scores: Sequence[float], index: np.ndarray) -> None:
    """LinearityIQA's: MATLAB's v7.3 is HDF5 behind a block of 512 bytes, arrays transposed, strings as UTF-16 cells."""
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        file["index"] = index.astype(np.float64)
        file["ref_ids"] = np.arange(1.0, len(names) + 1)[None]
        file["subjective_scores"] = np.array([scores], np.float64)
        cells = np.empty((1, len(names)), h5py.ref_dtype)
        for i, name in enumerate(names):
            file[f"#refs#/{i}"] = np.array([[ord(letter)] for letter in name], np.uint16)
            cells[0, i] = file[f"#refs#/{i}"].ref
        file.create_dataset("im_names", data=cells, dtype=h5py.ref_dtype)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, HDF5 schema 1.00 .")


CLIVE = [f"{i}.bmp" for i in range(3, 1_000)] + [f"{i}.JPG" for i in range(1_000, 1_165)]


def clive(folder: Path, names: Sequence[str] = CLIVE) -> None:
    import scipy.io

    shown = [f"t{i}.bmp" for i in range(1, 8)]
    photos(folder / "Images", names)
    photos(folder / "Images/trainingImages", shown)
    (folder / "Data").mkdir()
    cells = np.empty((7 + len(names), 1), object)
    cells[:, 0] = [*shown, *names]
    scipy.io.savemat(folder / "Data/AllImages_release.mat", {"AllImages_release": cells})
    scores = np.concatenate([np.full(7, 99), np.linspace(0, 90, len(names))])
    scipy.io.savemat(folder / "Data/AllMOS_release.mat", {"AllMOS_release": scores[None]})


BIQ = {
    "train": [f"ss0{1 + i % 3} ({i}).jpg" for i in range(10_000)],
    "test": [f"ss0{1 + i % 3} ({i}).jpg" for i in range(10_000, 12_000)],
}
"""As the tables spell them."""


def biq2021(folder: Path, train: Sequence[str] = BIQ["train"], test: Sequence[str] = BIQ["test"]) -> None:
    """The last name but one to train on is of another case than its file."""
    train_table, test_table = (folder / f"{split} (Images and MOS).csv" for split in ("Train", "Test"))
    table(train_table, ("Image Name", "MOS", "", ""), [(name, i / 10_000, "", "") for i, name in enumerate(train)])
    table(test_table, ("Image Name", "MOS"), [(name, 1 - i / 10_000) for i, name in enumerate(test)])
    renamed = {train[-2]: train[-2].replace(".jpg", ".JPG")}
    photos(folder / "Images", (renamed.get(name, name) for name in (*train, *test)))


def tid2013(folder: Path, references: int = 25) -> None:
    places = [(r, d, n) for r in range(1, references + 1) for d in range(1, 25) for n in range(1, 6)]
    photos(folder / "distorted_images", (f"i{r:02}_{d:02}_{n}.bmp" for r, d, n in places))
    lines = (f"{i / 400:.5f} I{r:02}_{d:02}_{n}.bmp\n" for i, (r, d, n) in enumerate(places))
    (folder / "mos_with_names.txt").write_text("".join(lines))


def kadid10k(folder: Path, references: int = 81) -> None:
    places = [(r, d, n) for r in range(1, references + 1) for d in range(1, 26) for n in range(1, 6)]
    names = [f"I{r:02}_{d:02}_{n:02}.png" for r, d, n in places]
    photos(folder / "images", names)
    photos(folder / "images", {f"{name[:3]}.png" for name in names})
    rows = [(name, f"{name[:3]}.png", 1 + i / 4_000, 0.5) for i, name in enumerate(names)]
    table(folder / "dmos.csv", ("dist_img", "ref_img", "dmos", "var"), rows)


def spaq(folder: Path, count: int = 11_125) -> None:
    import openpyxl

    names = [f"{i:05}.jpg" for i in range(1, count + 1)]
    photos(folder / "TestImage", names)
    (folder / "Annotations").mkdir()
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(["Image name", "MOS", "Brightness", "Colorfulness", "Contrast", "Noisiness", "Sharpness"])
    for i, name in enumerate(names):
        sheet.append([name, i / 200, 1, 2, 3, 4, 5])
    book.save(folder / "Annotations/MOS and Image attribute scores.xlsx")
