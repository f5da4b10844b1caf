"""How long a file, a class and a function may be, and how a longer one gives its reason.

`# long: REASON` stands in the first line of a file, or at the `def` or `class` or above it. How
complex a function may be is ruff's to say (C901, at most 15); a `# noqa: C901` needs a reason, too.
"""

import ast
import re
from pathlib import Path

MAX_FILE_LINES = 500
MAX_CLASS_LINES = 300
MAX_FUNCTION_LINES = 60

REASON = re.compile(r"# long: \S+ \S+")


def _has_reason(lines: list[str], node: ast.stmt) -> bool:
    """Look above the definition, and beside it."""
    first = node.lineno - 1
    beside = lines[max(0, first - 1) : first + 1]
    return any(REASON.search(line) for line in beside)


def too_long(module: Path, name: str) -> set[str]:
    """What in a file is longer than it may be, and gives no reason."""
    text = module.read_text()
    lines = text.splitlines()
    found = set()
    if len(lines) > MAX_FILE_LINES and not REASON.search(lines[0]):
        found.add(name)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            most = MAX_CLASS_LINES
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            most = MAX_FUNCTION_LINES
        else:
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > most and not _has_reason(lines, node):
            found.add(f"{name}: {node.name}")
    return found


def complex_without_reason(module: Path) -> list[str]:
    """The functions that ruff is kept from looking at, without a word why."""
    lines = (text := module.read_text()).splitlines()
    if "C901" not in text:
        return []  # to parse it takes the most of it
    return [
        node.name
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and re.search(r"# noqa:.*\bC901\b", lines[node.lineno - 1])
        and not _has_reason(lines, node)
    ]
