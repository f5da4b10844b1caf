"""Samples in the text form that a scraper asks for. Pure.

There are two: Prometheus's own, and OpenMetrics 1.0, which ends with a mark and names a counter's
family without its ending. Of 200 streams there are some 5,000 samples: each is one string by here,
and is touched once more.
"""

from typing import Final

from api.metrics import METRICS, PREFIX, Samples

PLAIN: Final = "text/plain"
PLAIN_TYPE: Final = f"{PLAIN}; version=0.0.4; charset=utf-8"
OPEN_METRICS: Final = "application/openmetrics-text"
OPEN_METRICS_TYPE: Final = f"{OPEN_METRICS}; version=1.0.0; charset=utf-8"


def expose(samples: Samples, accept: str) -> tuple[bytes, str]:
    """Return all families that have samples, and the content type; `accept` is the request's."""
    is_open = asks_for_open_metrics(accept)
    parts = []
    for family in METRICS:
        lines = samples.get(family.name)
        if lines:
            shown = PREFIX + family.name if is_open else family.shown_name
            parts.append(f"# HELP {shown} {family.words}\n# TYPE {shown} {family.kind.value}\n")
            begin = family.shown_name
            parts.append("".join([f"{begin}{line}\n" for line in lines]))
    if is_open:
        parts.append("# EOF\n")
    return "".join(parts).encode(), OPEN_METRICS_TYPE if is_open else PLAIN_TYPE


def asks_for_open_metrics(accept: str) -> bool:
    """Tell whether an Accept header prefers OpenMetrics (RFC 9110, 12.5.1)."""
    weights: dict[str, float] = {}
    for media_range in accept.split(","):
        kind, *parameters = (part.strip() for part in media_range.lower().split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        weights[kind] = max(weight, weights.get(kind, 0.0))
    weight = weights.get(OPEN_METRICS, 0.0)
    return weight > 0 and weight >= weights.get(PLAIN, 0.0)
