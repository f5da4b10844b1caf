"""What pages are made of documents, and what is found wrong in what came out."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "build_site.py"
PLACES = {
    "docs/a.md": "a.md",
    "docs/notes/b.md": "notes/b.md",
    "docs/picture.png": "picture.png",
    "CHANGELOG.md": "changelog.md",
}


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_site", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("document", "text", "page"),
    [
        ("docs/a.md", "[x](notes/b.md#part)", "[x](notes/b.md#part)"),
        ("docs/a.md", "[x](../CHANGELOG.md)", "[x](changelog.md)"),
        ("docs/notes/b.md", "[x](../../CHANGELOG.md#new)", "[x](../changelog.md#new)"),
        ("docs/notes/b.md", "[x](../a.md)", "[x](../a.md)"),
        ("CHANGELOG.md", "[x](docs/a.md) ![y](docs/picture.png)", "[x](a.md) ![y](picture.png)"),
        # mkdocs names what is no page
        ("docs/a.md", "[x](../Makefile)", "[x](../Makefile)"),
        ("docs/a.md", "[x](https://x.org/a.md) [y](#b)", "[x](https://x.org/a.md) [y](#b)"),
        ("docs/a.md", "| `a\\|b` | c\\|d |", "| `a|b` | c\\|d |"),
        ("docs/a.md", "```\n[x](../CHANGELOG.md)\n```", "```\n[x](../CHANGELOG.md)\n```"),
    ],
)
def test_links_lead_from_a_pages_place(
    site: ModuleType, document: str, text: str, page: str
) -> None:
    assert site.as_page(text, document, PLACES) == page


def test_what_an_article_should_have_is_compared(site: ModuleType) -> None:
    text = "- one\n- two\n\n| a |\n|---|\n| 1 |\n\n```sh\n- x\n```\n"
    good = "<li>menu</li><article><ul><li>1<li>2</ul><table></table><pre></pre></article><li>"
    assert site.faults("a.md", good, text) == []
    flat = "<article><ul><li>1</ul><p>| a |</p><pre></pre></article>"
    assert site.faults("a.md", flat, text) == [
        "a.md: 0 of 1 <table> came out",
        "a.md: 1 of 2 <li> came out",
    ]


@pytest.mark.parametrize(
    ("html", "is_outside"),
    [
        ('<script src="assets/x.js">', False),
        ('<a href="https://example.org">', False),
        ('<link rel="canonical" href="https://example.org">', False),
        ('<link rel="stylesheet" href="https://fonts.example.org/x.css">', True),
        ('<script src="//cdn.example.org/x.js">', True),
        ('<img src="http://example.org/x.png">', True),
    ],
)
def test_what_is_loaded_from_outside_is_named(
    site: ModuleType, html: str, is_outside: bool
) -> None:
    assert bool(site.faults("a.md", html, "")) == is_outside
