"""egress/hls/homes.py: one process serves a viewer, whichever his requests come to."""

from collections.abc import Sequence

import pytest

from common.ipc.control_messages import Endpoint
from common.ipc.identity import BootId, ChildId
from egress.hls.homes import Homes, begin_of_tokens
from tests.kit.children import EGRESS0, WEB0, WEB1, WEB2

ALL = (WEB0, WEB1, WEB2)
VIEWERS = [f"viewer {number}" for number in range(60)]


def endpoint(child: ChildId, *, is_retiring: bool = False) -> Endpoint:
    requests = f"ipc://{child}" if child.kind == "web" else ""
    return Endpoint(child, BootId("b"), requests=requests, is_retiring=is_retiring)


def home(own: ChildId, endpoints: Sequence[Endpoint], known_by: str) -> str:
    """Who serves a viewer, as one process sees it."""
    homes = Homes(own)
    homes.follow(endpoints)
    return homes.elsewhere(known_by) or f"ipc://{own}"


def homes_of(endpoints: Sequence[Endpoint], known_by: str) -> set[str]:
    """Who serves him by what each of them knows."""
    return {home(one.child, endpoints, known_by) for one in endpoints}


@pytest.mark.parametrize("child", ALL)
def test_who_has_let_a_viewer_in_serves_him(child: ChildId) -> None:
    running = [*map(endpoint, ALL), endpoint(EGRESS0)]
    token = begin_of_tokens(child) + "abcdef"
    assert {home(own, running, token) for own in ALL} == {f"ipc://{child}"}


def test_all_agree_about_viewers_whom_nobody_has_let_in_and_each_has_some() -> None:
    running = [endpoint(child) for child in ALL]
    odd = ["", "9-gone", "a-token-of-nobody", "-", "1", "99999999-x"]
    homes = [homes_of(running, viewer) for viewer in (*VIEWERS, *odd)]
    assert all(len(found) == 1 for found in homes)
    assert {address for found in homes for address in found} == {f"ipc://{c}" for c in ALL}


def test_only_viewers_of_a_process_that_has_gone_get_another() -> None:
    running = [endpoint(child) for child in ALL]
    left = running[:2]
    for viewer in VIEWERS:
        (before,) = homes_of(running, viewer)
        (after,) = homes_of(left, viewer)
        assert after in (before, *(f"ipc://{child}" for child in ALL[:2]))
        assert after == before or before == f"ipc://{WEB2}"
    assert len(homes_of(left, begin_of_tokens(WEB2) + "abc")) == 1


def test_one_that_retires_keeps_its_own_and_is_given_nobody() -> None:
    running = [endpoint(WEB0, is_retiring=True), endpoint(WEB1)]
    token = begin_of_tokens(WEB0) + "abc"
    assert home(WEB0, running, token) == f"ipc://{WEB0}", "a connection that is there yet"
    assert home(WEB1, running, token) == f"ipc://{WEB1}"
    assert {home(WEB0, running, viewer) for viewer in VIEWERS} == {f"ipc://{WEB1}"}


def test_one_alone_serves_everybody() -> None:
    homes = Homes(WEB0)
    assert homes.elsewhere("1-abc") == ""
    homes.follow([endpoint(WEB0), endpoint(EGRESS0)])
    assert not homes.are_several
    assert homes.elsewhere("1-abc") == ""
