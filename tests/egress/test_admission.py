"""egress/admission.py: one who asks by requests is a viewer from his first until he leaves."""

import asyncio
from dataclasses import replace

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.config.limits import StreamLimits
from egress.access import Wish
from egress.admission import NotAdmitted, SessionAsker
from tests.kit.egress import STREAM, TEMPLATE
from tests.kit.entrance_rig import MOST, EntranceRig, Guest

WISH = Wish("live", "cam1", "360p", {})


def asker(rig: EntranceRig, address: str = "192.0.2.9:5000") -> SessionAsker:
    return SessionAsker(rig.entrance, address, "hls")


def test_who_waits_is_let_in_when_the_stream_is_there_and_counts_until_he_leaves() -> None:
    async def run() -> None:
        rig = EntranceRig()
        one = asker(rig)
        waits = asyncio.ensure_future(one.admit(WISH))
        await asyncio.sleep(0)
        assert one.is_asking
        rig.open()
        admitted = await waits
        assert admitted.rendition.name == "360p"
        assert one.wanted is not None
        assert one.wanted.stream_id == STREAM
        assert (len(rig.entrance), rig.book.connections.here[one.host]) == (1, 1)
        for _ in range(2):
            one.leave("gone")
        assert (len(rig.entrance), rig.book.connections.here[one.host]) == (0, 0)
        assert one.wanted is None


def test_sessions_and_connections_count_against_the_same_limits() -> None:
    async def run() -> None:
        limits = StreamLimits(players=2)
        rig = EntranceRig(replace(TEMPLATE, limits=limits))
        rig.open()
        rig.ask()
        one, other = asker(rig), asker(rig)
        await one.admit(WISH)
        with pytest.raises(NotAdmitted) as refused:
            await other.admit(WISH)
        assert refused.value.refusal.reason is RefusalReason.FULL
        assert rig.ask().refusal is not None
        other.leave("refused")
        one.leave("gone")
        assert rig.ask(Guest("192.0.2.7")).refusal is None


def test_one_more_than_there_may_be_is_refused_and_who_is_ended_hears_it() -> None:
    async def run() -> None:
        rig = EntranceRig()
        rig.open()
        askers = [asker(rig, f"192.0.2.{number}:1") for number in range(MOST + 1)]
        with pytest.raises(NotAdmitted):
            await askers[0].admit(WISH)
        askers.pop().leave("refused")
        await askers[0].admit(WISH)
        ended: list[str] = []
        askers[0].on_finish = ended.append
        askers[0].finish("the operator has ended it")
        assert ended == ["the operator has ended it"]


def test_a_refusal_tells_what_stands_against_it() -> None:
    async def run() -> None:
        rig = EntranceRig()
        rig.open()
        one = asker(rig)
        with pytest.raises(NotAdmitted) as refused:
            await one.admit(Wish("live", "cam1", "4k", {}))
        found: Refusal = refused.value.refusal
        assert "there is no rendition 4k" in found.words

    asyncio.run(run())
