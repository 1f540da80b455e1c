"""The web page of a report: parsed as HTML, and opened offline in a browser where there is one."""

import base64
import dataclasses
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from PIL import Image
from skimage import data
from small_report import HOSTILE, SCRIPT, small_report

from robust_iqa_jax.cli import main
from robust_iqa_jax.report.files import write_report
from robust_iqa_jax.report.page import html_report

REPORT = small_report()
ON_KONIQ = dataclasses.replace(REPORT, run={"photos_of": "KonIQ-10k"})
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Parsed(HTMLParser):
    """Tags with their attributes, and the text of every table as rows of cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.tables, self.cell = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.cell = True

    def handle_endtag(self, tag):
        self.cell = self.cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self.cell:
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="module")
def page():
    return html_report(ON_KONIQ, f"Title {HOSTILE}")


def test_the_page_needs_nothing_from_outside(page):
    assert "http" not in page
    tags = Parsed(page).tags
    links = [attrs[name] for _, attrs in tags for name in ("src", "href", "xlink:href") if name in attrs]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not {tag for tag, _ in tags} & {"iframe", "object", "embed", "base"}


def test_every_id_is_unique_and_every_reference_finds_one(page):
    ids = [attrs["id"] for _, attrs in Parsed(page).tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)


def test_names_are_text_and_never_markup(page):
    parsed = Parsed(page)
    assert sum(tag == "script" for tag, _ in parsed.tags) == 1
    assert not any(tag == "b" for tag, _ in parsed.tags)
    cells = {cell for table in parsed.tables for row in table for cell in row}
    assert {HOSTILE, SCRIPT} <= cells


def test_figures_and_tables_are_there(page):
    tags = [tag for tag, _ in Parsed(page).tags]
    assert tags.count("svg") == tags.count("figure") == 3 + 4  # one-way attacks, and scores under every attack
    assert tags.count("table") == 9
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert all(re.search("#0072b2", figure, re.IGNORECASE) for figure in drawn)
    assert all("var(--ink)" in figure and "#000000" not in figure for figure in drawn)


def test_the_answer_comes_first_and_published_tables_beside_their_own_photos_only(page):
    first = Parsed(page).tables[0]
    assert [row[0] for row in first[1:]] == list(REPORT.models)
    assert page.index("Where anybody gains by a high score") < page.index("<table") < page.index("<nav>")
    assert 'id="published-defences"' in page
    assert "published-" not in html_report(REPORT, "Other photos")


def test_a_report_without_opinion_scores_sizes_or_images_has_a_page_too():
    rows = [{**row, "srocc_under_attack": None} for row in REPORT.rows if row["attack"] == "stadv-10"]
    models = {name: {**facts, "srocc": None, "plcc": None, "auc": {}} for name, facts in REPORT.models.items()}
    page = html_report(type(REPORT)(rows, models, []), "Bare")
    assert "No opinion scores, so no accuracy." in page
    assert 'id="accuracy"' not in page
    assert 'id="gains"' in page
    assert "models; this attack has no size" in page


def test_thumbnails_come_from_a_folder_of_images(tmp_path, capsys):
    write_report(tmp_path, REPORT)
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(1, 12):
        Image.fromarray(data.coffee()[::4, ::4]).save(photos / f"photo_{i}.png")
    status = main(["report", str(tmp_path), "--data", str(photos)])
    page = (tmp_path / "report.html").read_text()
    worst = Parsed(page).tables[-1][1:]
    assert capsys.readouterr().err == f"riqa report: not in {photos}: {SCRIPT}\n"
    assert status == 1
    uris = re.findall(r'<img alt="" src="data:image/jpeg;base64,([^"]+)">', page)
    assert len(uris) == sum(row[0] != SCRIPT for row in worst)
    assert Image.open(io.BytesIO(base64.b64decode(uris[0]))).size == (128, 85)


def test_in_a_browser_a_table_sorts_and_the_console_stays_silent(page, tmp_path):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    clicks = """<script>
      const gains = document.querySelector("#gains");
      gains.querySelectorAll("th button")[3].click(); gains.querySelectorAll("th button")[3].click();
      document.querySelector("#worst th button").click();
      document.querySelectorAll("#published-defences th button")[1].click();
      console.error("heard");
    </script></body>"""
    (tmp_path / "page.html").write_text(page.replace("</body>", clicks), encoding="utf-8")
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=2000",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert len(console) == 1, console
    assert "heard" in console[0]
    shown = Parsed(done.stdout)
    headings = [table[0][0].strip() for table in shown.tables]
    assert len(headings) == 9
    gains = [float(row[3]) for row in shown.tables[2][1:]]
    assert gains == sorted(gains, reverse=True)
    assert gains != [round(row["abs_gain_baseline_range"], 4) for row in REPORT.rows]
    images = [row[0] for row in shown.tables[-1][1:]]
    numbers = [int(name[6:-4]) for name in images if name != SCRIPT]
    assert numbers == sorted(numbers)
    matched = [row[1] for row in shown.tables[-2][1:]]
    assert matched[0] == "base"
    assert set(matched[1:]) == {"-"}
    sorted_headers = [attrs["aria-sort"] for tag, attrs in shown.tags if tag == "th" and "aria-sort" in attrs]
    assert sorted_headers == ["descending", "ascending", "ascending"]
