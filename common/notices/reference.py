"""The table of notices in docs/operations.md, from the tables of rules and of events. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from common.notices.rules import Rule

_TABLE = re.compile(r"(?<=<!-- notices -->\n).*?(?=<!-- end -->)", re.DOTALL)


def with_notices(
    text: str, rules: Iterable[Rule[Any]], events: Mapping[str, tuple[str, str]]
) -> str:
    """The document with its table written anew; `events` by code: what it means, what to set."""
    rows = {
        rule.code: (rule.what if rule.is_fault else f"{rule.what} (a fact)", rule.fix)
        for rule in rules
    }
    rows |= events
    lines = ["| code | what it means | set |", "|---|---|---|"]
    lines += [f"| `{code}` | {what} | {fix} |" for code, (what, fix) in rows.items()]
    table = "\n".join(lines) + "\n"
    return _TABLE.sub(lambda _: table, text)
