"""What a file that holds no weights is instead, by its first bytes: the download that went wrong, the other format.
Sources: the formats' published signatures; git-lfs/git-lfs docs/spec.md (pointer files)."""

import os
import re
from pathlib import Path

HEAD = 1024
"""Bytes that are looked at."""

_DOWNLOAD = "download it again"
_UNPACK = "unpack it first and give the file inside"
_TORCH_SAVE = "load it in its own framework and save the weights with torch.save or safetensors"

_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer in place of the file",
        "fetch it with git lfs pull",
    ),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as of Keras or TensorFlow", _TORCH_SAVE),
    (b"\x93NUMPY", "a NumPy array", _TORCH_SAVE),
    (b"\x89PNG", "a PNG picture", "give the checkpoint"),
    (b"\xff\xd8\xff", "a JPEG picture", "give the checkpoint"),
    (b"%PDF", "a PDF document", "give the checkpoint"),
    (b"GGUF", "a GGUF file", _TORCH_SAVE),
)
_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype|html|head|body|\?xml|error)", re.IGNORECASE | re.DOTALL)


def other_kind(path: str | os.PathLike[str]) -> str:
    """What a file is that is no checkpoint, and what to do: "a gzip archive; unpack ..."; "" for none of these."""
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return "an empty file, or truncated to nothing; copy or download it again"
    if _PAGE.match(head.removeprefix(b"\xef\xbb\xbf")):
        return f"a web page that was saved in its place; {_DOWNLOAD}, from the address of the file itself"
    for signature, kind, cure in _SIGNATURES:
        if head.startswith(signature):
            return f"{kind}; {cure}"
    if head[257:262] == b"ustar":
        return f"a tar archive; {_UNPACK}"
    if head[4:8] == b"TFL3":
        return f"a TensorFlow Lite model; {_TORCH_SAVE}"
    if path.suffix.lower() == ".onnx" or (head[:1] == b"\x08" and re.search(rb"pytorch|onnx|tf2onnx", head[:64])):
        return f"an ONNX model; {_TORCH_SAVE}"
    if head.lstrip()[:1] in (b"{", b"[") and not head.lstrip()[1:2].isdigit():
        try:
            head.decode()
        except UnicodeDecodeError as error:
            return "" if error.start < len(head) - 3 else "a JSON text; give the file of the weights"
        return "a JSON text; give the file of the weights"
    return ""


def other_zip(names: list[str]) -> str:
    """What a zip archive is that torch.save did not write, by the names in it, and what to do."""
    files = [name for name in names if not name.endswith("/")]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in files):
        return "a TorchScript archive; torch.jit.load it and save its weights: torch.save(model.state_dict(), FILE)"
    if files and all(name.endswith(".npy") for name in files):
        return f"a NumPy archive (.npz); {_TORCH_SAVE}"
    if "model.weights.h5" in files:
        return f"a Keras model; {_TORCH_SAVE}"
    weights = [name for name in files if name.lower().endswith((".pth", ".pt", ".bin", ".ckpt", ".safetensors"))]
    if weights:
        return f"a zip archive around {weights[0]}; {_UNPACK}"
    shown = f"holds {', '.join(files[:3])}" + (", ..." if len(files) > 3 else "") if files else "is empty"
    return f"a zip archive without one data.pkl ({shown}); give the file that torch.save wrote"
