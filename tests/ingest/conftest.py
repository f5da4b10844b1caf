"""The farm around a real ingest process."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.kit.ingest_process import SETTINGS, TEMPLATE, FarmAround

LOCKED = replace(TEMPLATE, name="locked", publish_keys=(hashlib.sha256(b"sesame").hexdigest(),))


@pytest.fixture
def farm() -> Iterator[FarmAround]:
    settings = replace(SETTINGS, templates=(TEMPLATE, LOCKED))
    with FarmAround(settings) as running:
        yield running
        log = running.log()
    assert "Traceback" not in log
    for credential in ("cam", "sesame"):
        assert credential not in log, "a stream key or a publish key stands in the log"
