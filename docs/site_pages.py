"""What the site has beside docs/*.md: model cards, measured results and files of the root as pages, their tables in
other pages, and links to them. Hooks of MkDocs; links and tables stay readable in the repository."""

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
CARDS, RESULTS = "robust_iqa_jax/pretrained", "benchmarks/results"

_LINK = re.compile(r"(\]\()([^)#\s]+)")
_TABLE = re.compile(r"^<!-- table: (\S+), (.+) -->$", re.MULTILINE)
"""A line such as <!-- table: benchmarks/results/NAME.md, words of the heading above the table -->."""


def pages() -> dict[str, str]:
    """Page of the site -> file of the repository, from its root, that it is made of."""
    cards = {f"models/{path.parent.name}.md": path for path in sorted((ROOT / CARDS).glob("*/README.md"))}
    results = {f"results/{path.name}": path for path in sorted((ROOT / RESULTS).iterdir()) if path.suffix != ".json"}
    own = {"architecture.md": ROOT / "ARCHITECTURE.md", "changelog.md": ROOT / "CHANGELOG.md"}
    return {uri: path.relative_to(ROOT).as_posix() for uri, path in {**cards, **results, **own}.items()}


def table(path: str, heading: str) -> str:
    """The first table below the first heading of a file that has these words, and a link to the file's page.

    Args:
      path: of a Markdown file, from the repository's root.
      heading: words of one of its headings.

    Raises:
      ValueError: no such file, heading or table.
    """
    file = ROOT / path
    below = re.search(
        rf"^#+ [^\n]*{re.escape(heading)}[^\n]*\n(.*?)(?=^#|\Z)",
        file.read_text(encoding="utf-8") if file.is_file() else "",
        re.MULTILINE | re.DOTALL,
    )
    found = below and re.search(r"^\|.*\|\n\|[ :|-]+\|\n(?:\|.*\|\n?)+", below[1], re.MULTILINE)
    if not found:
        raise ValueError(f"docs: no table below a heading {heading!r} in {path}; name a file and words of its heading")
    return found[0]


def linked(markdown: str, path: str) -> str:
    """A page's Markdown with links into the repository led to the pages made of those files.

    Args:
      markdown: the page.
      path: of the file it is made of, from the repository's root.
    """
    made = {file: uri for uri, file in pages().items()}
    here = made.get(path, path.removeprefix("docs/"))

    def replaced(link: re.Match[str]) -> str:
        if re.match(r"[a-z]+:", link[2]):
            return link[0]
        target = os.path.normpath(PurePosixPath(path).parent / link[2])
        uri = made.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
        return link[0] if uri is None else link[1] + os.path.relpath(uri, PurePosixPath(here).parent)

    return _LINK.sub(replaced, markdown)


def results_page() -> str:
    """A list of the measured results, by their titles."""
    made = {uri: file for uri, file in pages().items() if uri.startswith("results/") and uri.endswith(".md")}
    lines = [
        f"- {PurePosixPath(uri).name[:10]}: [{(ROOT / file).read_text().splitlines()[0].lstrip('# ')}]"
        f"({PurePosixPath(uri).name})"
        for uri, file in reversed(made.items())
    ]
    return "# Measured results\n\nThe machine and versions stand in each.\n\n" + "\n".join(lines) + "\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs: the pages that are made of files outside docs/."""
    for uri, file in pages().items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / file)))
    files.append(File.generated(config, "results/index.md", content=results_page()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """MkDocs: a page with the tables that it names, and links that lead to pages."""
    uri = page.file.src_uri
    path = pages().get(uri, f"docs/{uri}")
    try:
        return _TABLE.sub(lambda line: table(line[1], line[2]), linked(markdown, path))
    except ValueError as error:
        raise PluginError(str(error)) from error
