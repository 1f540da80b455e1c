"""docs/sources.md and those who cite it: every section, key, paper and repository that is cited stands there, and every
place in the code that it names exists. Files are read, not imported."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())
PACKAGE = ROOT / "robust_iqa_jax"
PAGE = ROOT / "docs" / "sources.md"
FOLDERS = ("robust_iqa_jax", "kernels", "configs", "benchmarks", "tests", "docs")
OLD = "REFER" + "ENCE"
"""What citations were called when the cited file was not in the repository."""

BARE_KEYS = frozenset({"POSTER", "AT", "NT", "LIN", "KON", "TRES", "PYIQA", "MSU", "MUSIQ", "ORTH", "DEEL"})
"""Keys that are no names of branches, which are known by their "A-"."""

_SECTION = r"\d(?:\.\d)?(?![\w-]|\.\d)"
_PART = rf"(?:\d(?:\.\d)?-{_SECTION}|{_SECTION})"
_CITATION = re.compile(rf"sources\.md,? ({_PART}(?:(?:, | and |, and ){_PART})*)")
_BRANCH = re.compile(r"\bA-(?:main\b|[A-Z][A-Za-z]*\b|\*)")
_PAPER = re.compile(r"\b((?:0[7-9]|[12]\d)(?:0[1-9]|1[0-2])\.\d{4,5})\b")
"""An arXiv number: year, month, four or five digits."""
_SOURCE = re.compile(r"\bSources?: (.*?)(?:$|\n\n)", re.DOTALL)
_REPOSITORY = re.compile(r"(?<![\w./-])([A-Za-z][\w-]*/[A-Za-z][\w.-]*\w)(?![\w/-])")
_NAME = r"[A-Z][\w-]+"
_AUTHORS = re.compile(rf"\b({_NAME})(?:,? (?:{_NAME},? )*(?:&|and) {_NAME}| et al\.| and {_NAME})? ((?:19|20)\d\d)\b")
_PLACE = re.compile(r"`([\w/]+\.py)(?::([\w.]+))?`")
_HEADING = re.compile(r"^##+ (\d(?:\.\d)?) ", re.MULTILINE)


def prose(text: str, suffix: str) -> str:
    """Docstrings (those of attributes too) and comments of Python, or the whole of a page; lines joined."""
    if suffix != ".py":
        return _joined(text)
    docs = [
        node.value.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    comments = "\n".join(re.findall(r"(?:^ *|  )#(.*)", text, re.MULTILINE))
    return "\n\n".join(map(_joined, [*docs, comments]))


def _joined(text: str) -> str:
    """Paragraphs with one space where lines break, so that a citation may."""
    return re.sub(r"[ \t]*\n[ \t]*(?=\S)", " ", re.sub(r"\n[ \t]*\n", "\n\n", text)).replace("\n\n ", "\n\n")


@cache
def citing() -> dict[str, str]:
    """Path -> prose, of all Python and Markdown but this file and the page."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md")]
    paths = sorted({*paths, *ROOT.glob("*.md")} - {PAGE, Path(__file__)})
    assert len(paths) > 100, "files not found"
    return {str(path.relative_to(ROOT)): prose(path.read_text(encoding="utf-8"), path.suffix) for path in paths}


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def cited_sections(text: str) -> list[tuple[str, str]]:
    """First and last section of each part of each citation: "sources.md 1.5, 2.1-2.3" -> (1.5, 1.5), (2.1, 2.3)."""
    parts = [part for match in _CITATION.findall(text) for part in re.findall(_PART, match)]
    return [(part.split("-")[0], part.split("-")[-1]) for part in parts]


def sections(text: str) -> list[str]:
    return _HEADING.findall(text)


def keys(text: str) -> list[str]:
    """First column of the table under "Keys"."""
    table = text.partition("\n## Keys\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")][2:]
    return [key.strip() for cell in cells for key in cell.split(",")]


def titled(text: str) -> list[str]:
    """arXiv numbers under "Keys": "arXiv N" in the table's addresses, "N: title" in the list."""
    part = text.partition("\n## Keys\n")[2].partition("\n## ")[0]
    return re.findall(r"(?:\barXiv |\b(?=\d{4}\.\d{4,5}:\s))(\d{4}\.\d{4,5})", part)


def keys_in(text: str) -> set[str]:
    return set(_BRANCH.findall(text)) | (set(re.findall(r"\b[A-Z]{2,}\b", text)) & BARE_KEYS)


def papers_in(text: str) -> set[str]:
    return set(_PAPER.findall(text))


def repositories_in(text: str) -> set[str]:
    """owner/name in what follows "Source:", files aside."""
    found = {name for part in _SOURCE.findall(text) for name in _REPOSITORY.findall(part)}
    return {name for name in found if not name.endswith((".py", ".yaml", ".m", ".csv", ".md"))}


def authors_in(text: str) -> set[tuple[str, str]]:
    """(first author, year) of "Name et al. 2018", "Name & Name 2020" and the like."""
    return {found for found in _AUTHORS.findall(text) if found != ("JPEG", "2000")}


def places(text: str) -> list[tuple[str, str]]:
    return _PLACE.findall(text)


def missing_places(text: str) -> list[str]:
    """Files, and names in them, that do not exist; a path starts in the package or at the root."""
    missing = []
    for file, name in places(text):
        path = next((path for path in (PACKAGE / file, ROOT / file) if path.is_file()), None)
        if path is None or (name and not has(ast.parse(path.read_text(encoding="utf-8")).body, name.split("."))):
            missing.append(f"{file}:{name}".rstrip(":"))
    return missing


def has(body: list[ast.stmt], names: list[str]) -> bool:
    """Whether a body defines names[0], and that one the rest."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name == names[0]:
                return len(names) == 1 or has(node.body, names[1:])
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if names in [[target.id] for target in targets if isinstance(target, ast.Name)]:
                return True
    return False


def absent(cited: dict[str, set[str]], known: set[str]) -> dict[str, list[str]]:
    """File -> what it cites and nobody knows."""
    return {file: sorted(found - known) for file, found in cited.items() if found - known}


def test_every_cited_section_exists():
    known, citations = sections(page()), {file: cited_sections(text) for file, text in citing().items()}
    wrong = {
        file: f"{first}-{last}"
        for file, parts in citations.items()
        for first, last in parts
        if first not in known or last not in known or known.index(first) > known.index(last)
    }
    assert wrong == {}
    assert sum(map(len, citations.values())) > 40, "citations not found"


def test_sections_stand_in_order_each_once():
    numbers = sections(page())
    assert numbers == sorted(set(numbers))


def test_nobody_cites_a_file_that_is_not_in_the_repository():
    texts = {
        path: path.read_text(encoding="utf-8")
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md") and path != Path(__file__)
    }
    texts |= {path: path.read_text(encoding="utf-8") for path in ROOT.glob("*.md")}
    assert [str(path.relative_to(ROOT)) for path, text in texts.items() if re.search(rf"\b{OLD}\b", text)] == []


def test_every_cited_key_is_in_the_table():
    known = keys(page())
    assert len(known) == len(set(known))
    assert set(known) >= BARE_KEYS
    cited = {file: keys_in(text) for file, text in citing().items()}
    assert absent(cited, set(known)) == {}
    assert keys_in(page()) <= set(known)
    assert {"A-Kon", "MSU", "ORTH"} <= set().union(*cited.values())


def test_every_cited_paper_has_its_title():
    assert absent({file: papers_in(text) for file, text in citing().items()}, set(titled(page()))) == {}


def test_no_paper_is_listed_twice():
    numbers = titled(page())
    assert len(numbers) == len(set(numbers)) > 50


def test_every_repository_behind_the_word_source_is_listed():
    known = set(_REPOSITORY.findall(page().replace("github.com/", " ")))
    assert absent({file: repositories_in(text) for file, text in citing().items()}, known) == {}


def test_every_author_cited_with_a_year_is_listed():
    text, unknown = page(), set()
    for file, found in citing().items():
        unknown |= {(file, *one) for one in authors_in(found) if one[0] not in text}
    assert unknown == set()


def test_every_place_that_the_page_names_exists():
    assert missing_places(page()) == []


def test_twelve_formulas_each_with_its_place():
    table = page().partition("\n## Twelve formulas of the paper by name\n")[2].partition("\n\nOf the methods")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) == 12
    assert [name for name, _, where in rows if not places(where)] == []
    assert set(re.findall(r"\((\d\.?\d?)\)", table)) <= set(sections(page()))


def test_lines_keep_to_the_length_of_the_code():
    assert [line for line in page().splitlines() if len(line) > 120 and not line.lstrip().startswith("|")] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("docs/sources.md 4.1).", [("4.1", "4.1")]),
        ("docs/sources.md, 5 (", [("5", "5")]),
        ("docs/sources.md 1.5, 2.1-2.3, 3.1-3.3: file", [("1.5", "1.5"), ("2.1", "2.3"), ("3.1", "3.3")]),
        ("docs/sources.md 1.5 and 2 (arXiv 2506.04951)", [("1.5", "1.5"), ("2", "2")]),
        ("docs/sources.md 4.1, A-Kon", [("4.1", "4.1")]),
        ("docs/sources.md 5, 12 photos", [("5", "5")]),
        ('docs/sources.md 5."', [("5", "5")]),
        ("see docs/sources.md.", []),
    ],
)
def test_citations_are_read(text, expected):
    assert cited_sections(text) == expected


def test_what_docstrings_and_comments_cite_is_read():
    code = '"""What.\nSources: A-Kon; arXiv 1912.56789 (A),\n0801.5432; some/Thing x.py (docs/sources.md\n4.1)."""\n'
    code += 'text = "A-Not MSU"\nx = 1  # Doe et al. 2018, Roe & Poe 2019\n"""NT\'s."""\n'
    text = prose(code, ".py")
    assert keys_in(text) == {"A-Kon", "NT"}
    assert papers_in(text) == {"1912.56789", "0801.5432"}
    assert repositories_in(text) == {"some/Thing"}
    assert authors_in(text) == {("Doe", "2018"), ("Roe", "2019")}
    assert cited_sections(text) == [("4.1", "4.1")]


def test_places_that_do_not_exist_are_found():
    text = "`functional/cayley.py:cayley_conv` `functional/cayley.py:nobody` `nowhere.py` `attacks/nes.py:NES.perturb`"
    text += " `attacks/nes.py:NES.eps` `attacks/nes.py:NES.nothing` `configs/quickstart.py` `pgd.eps`"
    assert missing_places(text) == ["functional/cayley.py:nobody", "nowhere.py", "attacks/nes.py:NES.nothing"]
