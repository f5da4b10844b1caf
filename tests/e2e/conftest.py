"""Clips made once a session, and one farm a module: starting a farm takes a second or two."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers_clips import ClipSpec, make_clip
from tests.helpers_farm import Farm

MakeClip = Callable[[ClipSpec], Path]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> MakeClip:
    """Gives the FLV file of a spec, made when first asked for."""
    folder = tmp_path_factory.mktemp("clips")
    made: dict[ClipSpec, Path] = {}

    def make(spec: ClipSpec) -> Path:
        if spec not in made:
            made[spec] = make_clip(folder / f"{len(made)}.flv", spec)
        return made[spec]

    return make


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm() as running:
        yield running
