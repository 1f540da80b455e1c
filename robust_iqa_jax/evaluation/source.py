"""What code a result comes from: a module's file, with all files of its own package and of this one that it imports.
The files are read, not run, so that an edited line is seen wherever it stands."""

import ast
import hashlib
import importlib.util
import sys
from functools import cache
from pathlib import Path

PACKAGE = __name__.split(".")[0]


@cache
def code_digest(module: str) -> str:
    """Hexadecimal digest that changes with any line of `code_files`.

    Raises:
      ValueError: a module without a file, such as a notebook.
    """
    digest = hashlib.sha256()
    for name, path in sorted(code_files(module).items()):
        digest.update(f"{name} ".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def code_files(module: str) -> dict[str, Path]:
    """Module -> file, of a module and all that it imports, at any depth and inside functions too.

    Modules of other packages than its own and this one are left out, and so are the packages above a module, whose
    `__init__` it does not import from.

    Raises:
      ValueError: a module without a file, such as a notebook.
    """
    packages = {PACKAGE, module.split(".")[0]}
    files: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in files or name.split(".")[0] not in packages:
            continue
        path = _file(name)
        if path is None:
            raise ValueError(f"{name}: its code is in no file, so that no result can be named by it")
        files[name] = path
        waiting += imports(path, name if path.name == "__init__.py" else name.rpartition(".")[0])
    return files


@cache
def imports(path: Path, package: str = "") -> frozenset[str]:
    """Names of the modules that a Python file imports, at its top or inside functions.

    Args:
      path: the file.
      package: that it is in, which its relative imports start from.
    """
    packages = {PACKAGE, package.split(".")[0]}
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            ours = module.split(".")[0] in packages
            members = [f"{module}.{alias.name}" for alias in node.names]
            names |= {full if ours and _file(full) else module for full in members}
    return frozenset(names)


@cache
def _file(module: str) -> Path | None:
    """A module's source file; None where there is no such module or it has none."""
    if module == "__main__":  # a script has a file and no spec, a notebook has neither
        script = getattr(sys.modules[module], "__file__", None)
        return Path(script) if script else None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # its parent is a module, not a package
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.has_location else None
