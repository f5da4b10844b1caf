"""Clips made once for all processes of a session, and one farm a module: that takes a second."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.browser import Browser
from tests.kit.clips import ClipSpec, make_clip
from tests.kit.farm import Farm

MakeClip = Callable[[ClipSpec], Path]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> MakeClip:
    """Gives the FLV file of a spec, made when first asked for."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # the session's; its processes have one each below it
    folder /= "clips"
    folder.mkdir(exist_ok=True)

    def make(spec: ClipSpec) -> Path:
        path = folder / f"{hashlib.sha256(repr(spec).encode()).hexdigest()[:16]}.flv"
        if not path.exists():
            make_clip(path.with_suffix(f".{os.getpid()}.flv"), spec).replace(path)
        return path

    return make


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm() as running:
        yield running


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Chromium, with the module's `BROWSER` as further options."""
    with Browser(*getattr(request.module, "BROWSER", ())) as running:
        yield running
