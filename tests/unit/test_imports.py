"""No circle of imports between files, and rooms that import only what lies below them."""

import ast
import importlib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import robust_iqa_jax

TOPS = ("robust_iqa_jax", "robust_iqa_jax.kernels", "robust_iqa_jax.configs", "robust_iqa_jax.benchmarks")


def module_files():
    """Module -> file, of the package and of what is installed into it."""
    files = {}
    for top in TOPS:
        folder = Path(importlib.import_module(top).__file__).parent
        for path in folder.rglob("*.py"):
            inner = path.relative_to(folder).with_suffix("").parts
            files[".".join((top, *(part for part in inner if part != "__init__")))] = path
    return files


FILES = module_files()


def imported(module, inside_functions=True):
    """Modules of ours that a module imports, at its top or anywhere."""
    tree = ast.parse(FILES[module].read_text())
    names = set()
    for node in ast.walk(tree) if inside_functions else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in FILES else node.module)
    return (names & FILES.keys()) - {module}


def circle(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def test_no_files_import_each_other_in_a_circle_even_inside_functions():
    graph = {module: imported(module) for module in FILES}
    assert len(graph) > 200
    assert "robust_iqa_jax.report.files" in graph["robust_iqa_jax.report.summarise"]
    assert "robust_iqa_jax.report.plots" in graph["robust_iqa_jax.commands.compare"], "an import inside a function"
    assert circle(graph) is None


def test_a_circle_would_be_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) is not None


@pytest.mark.parametrize(
    ("room", "above"),
    [
        ("metrics", ("evaluation", "report", "models", "attacks", "training", "commands", "functional")),
        ("evaluation", ("report", "training", "study", "commands")),
        ("report", ("training", "study", "commands", "configs")),
    ],
)
def test_a_room_knows_nothing_of_those_above_it(room, above):
    modules = [module for module in FILES if module.startswith(f"{robust_iqa_jax.__name__}.{room}.")]
    assert len(modules) > 5
    for module in modules:
        rooms = {name.split(".")[1] for name in imported(module) if "." in name}
        assert not rooms & set(above), module
