"""Which image files are meant by what people give for photos: files, folders, patterns. Nothing is decoded.
Source: this project."""

import glob
from collections.abc import Callable, Iterable
from pathlib import Path

from robust_iqa_jax.data.images import IMAGE_SUFFIXES, ImageError, check_path
from robust_iqa_jax.wording import ADDRESS

Complain = Callable[[str], None]
"""Takes a line about a photo that is not scored."""


def photo_paths(given: Iterable[str], complain: Complain, remark: Complain = lambda line: None) -> list[str]:
    """The image files that are meant, a folder's in place of it, and what matches a pattern in place of that.

    Args:
      given: files, folders and patterns, as typed.
      complain: is told of each that is no image.
      remark: is told of a folder's files that are left out.
    """
    paths: list[str] = []
    for name in given:
        if ADDRESS.match(name):
            complain(f"{name}: is an address, and nothing is downloaded; give the path of a file")
        elif Path(name).is_dir():
            paths += _photos_in(name, complain, remark)
        elif not Path(name).exists() and glob.has_magic(name):
            matches = [path for path in sorted(glob.glob(name, recursive=True)) if Path(path).is_file()]
            if not matches:
                complain(f"{name}: no file matches it")
            paths += matches
        else:
            try:
                check_path(name)
                paths.append(name)
            except ImageError as error:
                complain(str(error))
    return paths


def _photos_in(folder: str, complain: Complain, remark: Complain) -> list[str]:
    try:
        files = sorted(file for file in Path(folder).iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        complain(f"{folder}: cannot be read ({error.strerror})")
        return []
    photos = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if not photos:
        complain(f"{folder}: a folder without photos (.png, .jpg, .webp, ...); those of its folders are not looked for")
    elif others := [file.name for file in files if file not in set(photos)]:
        shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        remark(f"{folder}: {len(photos)} photos; no photos by their names: {shown}")
    return [str(file) for file in photos]
