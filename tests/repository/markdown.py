"""Lines that GitHub and the site (Python-Markdown) show in two ways, or neither as meant."""

import re
from collections.abc import Iterator

_FENCE = re.compile(r"^( *)```")
_ITEM = re.compile(r"^( *)(?:[-*]|\d+\.) ")
_RULE = re.compile(r"^ *\|(?: *:?-+:? *\|)+ *$")


def odd_lines(text: str) -> Iterator[str]:
    """Each such line with its number, and what to do about it."""
    lines = text.split("\n")
    is_code = is_list = is_paragraph = False  # the last: of a list, behind an empty line
    for number, line in enumerate(lines, 1):
        before = lines[number - 2] if number > 1 else ""
        indent = len(line) - len(line.lstrip(" "))
        if fence := _FENCE.match(line):
            if not is_code and len(fence[1]) not in (0, 4):
                yield f"{number}: a block of code in a list stands behind four spaces"
            is_code = not is_code
            is_paragraph |= is_list
            continue
        if is_code or not line.strip():
            continue
        item = _ITEM.match(line)
        if indent == 0 and not item and (not before.strip() or not is_list):
            is_list = False
        if item and indent % 4:
            yield f"{number}: a list in a list stands behind four spaces"
        elif item and not is_list and before.strip() and not before.startswith(("#", "<!--")):
            yield f"{number}: a list begins after an empty line"
        elif item and is_paragraph and before.strip():
            yield f"{number}: behind a paragraph of a list its next entry needs an empty line"
        elif not item and indent and not before.strip():
            if not is_list:
                yield f"{number}: a block of code has fences"
            elif indent % 4:
                yield f"{number}: a paragraph of a list stands behind four spaces"
            is_paragraph = True
        is_list |= bool(item)
        is_paragraph &= not item
        yield from (f"{number}: {fault}" for fault in _of_a_table(lines, number - 1))


def _of_a_table(lines: list[str], index: int) -> Iterator[str]:
    line, before = lines[index], lines[index - 1] if index else ""
    if not line.lstrip().startswith("|") or before.lstrip().startswith("|"):
        return
    if before.strip() and not before.startswith("<!--"):
        yield "a table begins after an empty line"
    if not (index + 1 < len(lines) and _RULE.match(lines[index + 1])):
        yield "a table begins with its header and a rule"
