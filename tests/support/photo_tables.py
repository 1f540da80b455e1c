"""Small label tables of real pixels (photos that ship with scikit-image) for tests of training and commands."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from skimage import data


def write_photo_table(folder: Path, count: int = 16, side: int = 72) -> Path:
    """`count` crops, the later the more blurred, with score 100 - blur; even ones in group "train", odd in "test"."""
    folder.mkdir(exist_ok=True)
    photos = [data.astronaut(), data.coffee(), data.chelsea()]
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        photo = photos[i % 3]
        top, left = (int(rng.integers(n - side)) for n in photo.shape[:2])
        image = Image.fromarray(photo[top : top + side, left : left + side])
        image.filter(ImageFilter.GaussianBlur(i / 4)).save(folder / f"{i}.png")
        rows.append({"image_name": f"{i}.png", "mos": 100 - 3 * i, "split": ("train", "test")[i % 2]})
    with (folder / "scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "scores.csv"
