"""Every notebook of notebooks/, run top to bottom in a fresh kernel; and that what is kept of them has no outputs."""

import json

import pytest
from places import ROOT

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_outputs(name):
    cells = json.loads((FOLDER / name).read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 2
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_readme_names_every_notebook():
    text = (ROOT / "README.md").read_text()
    assert len(NOTEBOOKS) >= 3
    assert [name for name in NOTEBOOKS if name not in text] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_from_a_clean_kernel(name, tmp_path):
    import nbformat
    from nbclient import NotebookClient

    if "pytorch" in name:
        pytest.importorskip("torch")
    notebook = nbformat.read(FOLDER / name, as_version=4)
    NotebookClient(notebook, timeout=1500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    warned = [output.text for output in outputs if output.get("name") == "stderr" and "Warning" in output.text]
    assert warned == []
