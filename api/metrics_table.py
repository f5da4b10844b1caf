"""The table of all metrics in docs/metrics.md. Pure."""

import re
from typing import Final

from api.metrics import METRICS

_TABLE: Final = re.compile(r"(?<=<!-- metrics -->\n).*?(?=<!-- end -->)", re.DOTALL)


def with_metrics(text: str) -> str:
    """The document with its table of metrics written anew."""
    lines = ["| metric | kind | labels | says |", "|---|---|---|---|"]
    for family in METRICS:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        name, kind = family.shown_name, family.kind.value
        lines.append(f"| `{name}` | {kind} | {labels} | {family.words} |")
    table = "\n".join(lines) + "\n"
    return _TABLE.sub(lambda _: table, text)
