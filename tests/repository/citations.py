"""Documents that the code cites: `docs/rtmp.md`, or with a heading, `docs/rtmp.md, Refusals`."""

import ast
import re
import tokenize
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

_DOCUMENT = re.compile(r"(?<![\w/.-])(\w[\w./-]*\.md)\b(?:, ([A-Z][\w ]*\w))?")
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _texts(source: Path) -> Iterator[str]:
    """The comments of a file, those in rows as one, and its docstrings."""
    text = source.read_text()
    if ".md" not in text:
        return
    if source.suffix != ".py":
        yield text
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _WITH_DOCSTRING) and (words := ast.get_docstring(node)):
            yield words
    tokens = tokenize.generate_tokens(StringIO(text).readline)
    yield "\n".join(token.string for token in tokens if token.type == tokenize.COMMENT)


def citations(source: Path) -> set[tuple[str, str]]:
    """The documents and headings that a source file names; the heading may be empty."""
    found: set[tuple[str, str]] = set()
    for text in _texts(source):
        found |= set(_DOCUMENT.findall(re.sub(r"\s*\n\s*(?:#|//)?\s*", " ", text)))
    return found


def missing(root: Path, source: Path) -> list[str]:
    """What a source file cites and the repository has not."""
    found = []
    for path, heading in sorted(citations(source)):
        document = next(
            (folder / path for folder in (root, source.parent) if (folder / path).is_file()), None
        )
        if document is None:
            found.append(path)
        elif heading and not re.search(
            rf"^#+ {re.escape(heading)}$", document.read_text(), re.MULTILINE
        ):
            found.append(f"{path}, {heading}")
    return found
