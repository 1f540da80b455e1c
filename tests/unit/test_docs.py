"""docs/ without building it: navigation, links, tables taken from elsewhere, Python, quoted errors, public names."""

import ast
import importlib.util
import re
from collections.abc import Iterator

import pytest
import yaml
from places import ROOT

import robust_iqa_jax
from robust_iqa_jax import attacks, layers

DOCS = {path.relative_to(ROOT / "docs").as_posix(): path.read_text() for path in sorted(ROOT.glob("docs/**/*.md"))}
PAGES = {"README.md": (ROOT / "README.md").read_text(), **{f"docs/{name}": text for name, text in DOCS.items()}}

_spec = importlib.util.spec_from_file_location("site_pages", ROOT / "docs/site_pages.py")
assert _spec is not None
assert _spec.loader is not None
site_pages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(site_pages)


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub and Python-Markdown make them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def navigation(entries: list) -> Iterator[str]:
    for entry in entries:
        for page in entry.values():
            yield from [page] if isinstance(page, str) else navigation(page)


def string_constants() -> str:
    """All strings of the library, the fixed parts of f-strings too, a line each."""
    found: list[str] = []
    for folder in ("robust_iqa_jax", "kernels"):
        for path in (ROOT / folder).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text()))
            found += [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "\n".join(found)


def test_the_navigation_has_every_page_and_no_other():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    pages = list(navigation(config["nav"]))
    assert len(pages) == len(set(pages))
    made = {*site_pages.pages(), "results/index.md"}
    assert set(pages) - made == set(DOCS)
    assert {page for page in made if not page.startswith("results/")} <= set(pages)


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(PAGES[page])):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(file.read_text()), f"{page}: {target}"


@pytest.mark.parametrize("page", DOCS)
def test_links_and_tables_of_a_page_are_those_of_the_site(page):
    made = {*DOCS, *site_pages.pages(), "results/index.md", *(path.name for path in ROOT.glob("docs/*.png"))}
    for target in re.findall(r"\]\(([^)#\s]+)", without_code(site_pages.linked(DOCS[page], f"docs/{page}"))):
        if not re.match(r"[a-z]+:", target):
            assert (ROOT / "docs" / page).parent.joinpath(target).resolve().relative_to(
                ROOT / "docs"
            ).as_posix() in made
    for path, heading in re.findall(r"<!-- table: (\S+), (.+) -->", DOCS[page]):
        assert site_pages.table(path, heading).count("\n") > 2


def test_a_table_that_is_not_there_is_told_by_name():
    with pytest.raises(ValueError, match=r"no table below a heading 'Nothing' in README\.md"):
        site_pages.table("README.md", "Nothing")


@pytest.mark.parametrize("page", PAGES)
def test_python_of_a_page_parses(page):
    for block in re.findall(r"^```python\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL):
        ast.parse(block)


def test_quoted_errors_are_the_code_s():
    said = string_constants()
    quoted = re.findall(r"^\| `(.+?)` \|", DOCS["errors.md"], re.M)
    assert len(quoted) > 30
    for message in quoted:
        for part in re.split(r"\.\.\.|--[a-z-]+", message):
            assert part.strip(" ,;:()") in said, f"{message}: {part}"
        for option in re.findall(r"--([a-z-]+)", message):
            assert option.replace("-", "_") in said.splitlines(), f"{message}: {option} is no setting"


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("robust_iqa_jax", set(robust_iqa_jax.__all__) - {"__version__", "attacks"}),
        ("attacks", set(attacks.__all__)),
        ("layers", set(layers.__all__)),
        ("metrics", {path.stem for path in (ROOT / "robust_iqa_jax/metrics").glob("*.py")} - {"__init__", "scores"}),
    ],
)
def test_public_names_are_in_the_api(page, names):
    shown = set(re.findall(r"^(?::::|###) \S+\.(\w+)$", DOCS[f"api/{page}.md"], re.MULTILINE))
    assert names <= shown, names - shown
