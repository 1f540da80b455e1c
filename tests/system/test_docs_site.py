"""The site is built as CI builds it, by MkDocs with warnings as errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_site_builds_without_warnings(tmp_path):
    mkdocs = Path(sys.executable).with_name("mkdocs")
    command = [str(mkdocs), "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    card = (tmp_path / "site/models/robust-lite0.html").read_text()
    assert "Gain under attack" in card
    assert "riqa.attacks.apgd" in (tmp_path / "site/api/attacks.html").read_text()
