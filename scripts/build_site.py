"""Build the documentation as a site: `make site` writes it to build/site/html.

The documents stay as they are read in a checkout. Here the pages are made of them, mkdocs builds
the site and refuses links and anchors that lead nowhere (mkdocs.yml), and what came out is looked
at: each table, list and block of code of a document is one in its page, and nothing is loaded from
outside.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = Path("build/site/pages")
HTML = Path("build/site/html")
# Documents beside docs/ that are pages too. The README is one for the check of its links alone.
AT_THE_TOP = {
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security-policy.md",
    "README.md": "readme.md",
}
CHECKED_ALONE = "readme"

_FENCE = re.compile(r"^ *```")
_LINK = re.compile(r"(?<=\]\()([^)\s:#]+)(?=[)#])")
_ROW = re.compile(r"^ *\|")
_RULE = re.compile(r"^ *\|(?: *:?-+:? *\|)+ *$")
_ITEM = re.compile(r"^ *(?:[-*]|\d+\.) ")
_CODE = re.compile(r"`[^`\n]+`")


def documents(root: Path) -> dict[str, str]:
    """The files that become pages or stand beside them, with their places in the site."""
    docs = root / "docs"
    files = [path for path in sorted(docs.rglob("*")) if path.is_file()]
    found = {path.relative_to(root).as_posix(): path.relative_to(docs).as_posix() for path in files}
    return found | {name: page for name, page in AT_THE_TOP.items() if (root / name).is_file()}


def _outside_code(text: str) -> Iterator[tuple[bool, str]]:
    """Each line, and whether it stands outside blocks of code."""
    is_code = False
    for line in text.split("\n"):
        is_fence = bool(_FENCE.match(line))
        yield not (is_code or is_fence), line
        is_code ^= is_fence


def as_page(text: str, document: str, places: dict[str, str]) -> str:
    """The text of a page: links lead from its place, and bars in a table's code are bars."""
    here = os.path.dirname(places[document])

    def moved(link: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(os.path.dirname(document), link[1]))
        # what is no page stays as it is, and mkdocs names it
        return os.path.relpath(places[target], here or ".") if target in places else link[1]

    lines = []
    for is_prose, line in _outside_code(text):
        if is_prose:
            line = _LINK.sub(moved, line)
            if _ROW.match(line):  # GitHub wants `a\|b` there, Python-Markdown shows the backslash
                line = _CODE.sub(lambda code: code[0].replace("\\|", "|"), line)
        lines.append(line)
    return "\n".join(lines)


def wanted(text: str) -> Counter[str]:
    """How many tables, blocks of code and items of lists a document has, by their tags."""
    found = Counter[str]()
    for is_prose, line in _outside_code(text):
        found["table"] += is_prose and bool(_RULE.match(line))
        found["li"] += is_prose and bool(_ITEM.match(line))
    found["pre"] = sum(bool(_FENCE.match(line)) for line in text.split("\n")) // 2
    return +found


class Page(HTMLParser):
    """What stands in the article of a page, and what the page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.tags = Counter[str]()
        self.loaded: list[str] = []
        self._is_article = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "article":
            self._is_article = True
        if self._is_article and tag in ("table", "pre", "li"):
            self.tags[tag] += 1
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(values.get("href", ""))
        self.loaded += [values[name] for name in ("src", "srcset", "poster") if name in values]

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._is_article = False

    def outside(self) -> list[str]:
        """What the page would load from another host."""
        return [url for url in self.loaded if re.match(r"(?:\w+:)?//", url)]


def faults(name: str, html: str, text: str) -> list[str]:
    """What is wrong with one page."""
    page = Page()
    page.feed(html)
    found = [f"{name} loads {url}" for url in page.outside()]
    for tag, count in wanted(text).items():
        if page.tags[tag] != count:
            found.append(f"{name}: {page.tags[tag]} of {count} <{tag}> came out")
    return found


def main() -> int:
    os.chdir(ROOT)
    places = documents(ROOT)
    shutil.rmtree(PAGES.parent, ignore_errors=True)
    for document, place in places.items():
        page = PAGES / place
        page.parent.mkdir(parents=True, exist_ok=True)
        if document.endswith(".md"):
            page.write_text(as_page(Path(document).read_text(), document, places))
        else:
            shutil.copyfile(document, page)
    # not --quiet: it hides the warnings from --strict, too
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # an advertisement of Material's
    built = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    if built.returncode:
        print(built.stdout + built.stderr, file=sys.stderr)
        return 1
    found = []
    for document, place in places.items():
        if document.endswith(".md"):
            html = HTML / place.replace(".md", ".html")
            found += faults(document, html.read_text(), Path(document).read_text())
    (HTML / f"{CHECKED_ALONE}.html").unlink()
    for fault in found:
        print(fault, file=sys.stderr)
    if not found:
        pages = sum(place.endswith(".md") for place in places.values()) - 1
        print(f"{HTML}/index.html: {pages} pages; their links and the README's lead somewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
