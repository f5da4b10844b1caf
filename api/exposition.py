"""The farm's figures in the text form that a scraper asks for. Pure.

Imports `prometheus_client`, so it is imported itself by the first scrape: a farm that nobody
scrapes holds none of it.
"""

from collections.abc import Mapping
from typing import Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from api.metrics import FarmCollector
from api.totals import Totals


def expose(
    document: Mapping[str, Any],
    totals: Totals,
    accept: str,
    *,
    is_current: bool,
    has_streams: bool,
) -> tuple[bytes, str]:
    """Every metric of a status document, and the content type; `accept` is the request's."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(
        FarmCollector(document, totals, is_current=is_current, has_streams=has_streams)
    )
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
