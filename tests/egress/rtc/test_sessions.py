"""Sessions and strangers: what a datagram costs that proves nothing, and what one changes."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import pytest

from common.access.peer_address import Networks
from common.webrtc import offer, stun
from common.webrtc.peer import CONNECT_S, MAX_ADDRESSES
from common.webrtc.udp import bound
from egress.rtc import answer
from egress.rtc.session import Session
from egress.rtc.sessions import Sessions
from tests.kit.sdp import SMALL

VIEWER, OTHER = ("192.0.2.1", 5000), ("192.0.2.2", 6000)


class Rig:
    """Sessions without a socket."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ended: list[str] = []
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.sessions = Sessions(
            lambda: self.now, lambda session: None, lambda session, why: self.ended.append(why)
        )
        self.sessions.send = self._send  # type: ignore[method-assign]  # in place of a socket

    def _send(self, datagram: bytes, address: tuple[str, int]) -> None:
        self.sent.append((datagram, address))

    def session(self, address: str = "192.0.2.1:80") -> Session:
        read = offer.parse(SMALL)
        made = Session(
            read,
            answer.choose(read),
            self.sessions.certificate,
            self.sessions,
            address,
            is_live_start=False,
        )
        self.sessions.add(made)
        return made

    def come(self, datagram: bytes, address: tuple[str, int] = VIEWER) -> None:
        self.sessions.on_datagram(datagram, address)


def request(session: Session, password: str | None = None, *attributes: tuple[int, bytes]) -> bytes:
    user = f"{session.ufrag}:theirs"
    secret = password or session.password
    return stun.binding_request(user, secret, secrets.token_bytes(12), attributes)


def in_loop(scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def run() -> None:
        await scenario(Rig())

    asyncio.run(run())


def test_who_knows_the_password_is_answered_with_its_address() -> None:
    async def scenario(rig: Rig) -> None:
        session = rig.session()
        rig.come(request(session, None, stun.NOMINATE))
        ((answered, to),) = rig.sent
        assert (stun.mapped_address(answered), to) == (VIEWER, VIEWER)
        session.end("enough")
        assert rig.ended == ["enough"]
        assert len(rig.sessions) == 0
        await asyncio.sleep(0)

    in_loop(scenario)


def test_a_flood_of_what_proves_nothing_is_given_no_answer_and_no_memory() -> None:
    async def scenario(rig: Rig) -> None:
        session = rig.session()
        for number in range(2000):
            address = (f"198.51.100.{number % 250}", number)
            rig.come(request(session, "wrong" * 6), address)
            rig.come(stun.binding_request("nobody:x", "p" * 24, bytes(12)), address)
            rig.come(secrets.token_bytes(40), address)
            rig.come(b"", address)
            rig.come(b"\x16" + bytes(60), address)  # DTLS of nobody
            rig.come(b"\x80\xc8" + bytes(60), address)  # RTCP of nobody
        assert not rig.sent
        assert not rig.sessions._by_address
        assert session._dtls is None, "no handshake has begun"
        assert rig.sessions.counters["rtc foreign datagrams"] >= 8000

    in_loop(scenario)


def test_a_viewer_has_so_many_addresses_and_no_more() -> None:
    async def scenario(rig: Rig) -> None:
        session = rig.session()
        for port in range(1, 200):
            rig.come(request(session), ("192.0.2.1", port))
        assert len(session.addresses) <= MAX_ADDRESSES + 1
        assert len(rig.sessions._by_address) <= MAX_ADDRESSES + 1
        session.end("enough")
        assert not rig.sessions._by_address
        await asyncio.sleep(0)

    in_loop(scenario)


def test_nobody_takes_over_the_address_of_another_who_is_there() -> None:
    async def scenario(rig: Rig) -> None:
        victim, attacker = rig.session(), rig.session()
        rig.come(request(victim), VIEWER)
        rig.come(request(attacker), VIEWER)
        assert not rig.ended
        assert rig.sessions._by_address[VIEWER] is victim
        rig.now += 10  # it is gone: its address may be given anew
        rig.come(request(attacker), VIEWER)
        assert rig.sessions._by_address[VIEWER] is attacker
        rig.sessions.end_all("enough")
        await asyncio.sleep(0)

    in_loop(scenario)


def test_media_go_to_another_address_only_when_the_viewer_answers_from_there() -> None:
    """Else a viewer could have its stream sent to a stranger, by requests with his address."""

    async def scenario(rig: Rig) -> None:
        session = rig.session()
        rig.come(request(session, None, stun.NOMINATE), VIEWER)
        rig.come(request(session, None, stun.NOMINATE), OTHER)
        assert session._peer == OTHER, "until media flow it is the viewer's choice"
        session.is_connected = True
        rig.sent.clear()
        for _ in range(20):
            rig.come(request(session, None, stun.NOMINATE), VIEWER)
        assert session._peer == OTHER
        (asked,) = (one for one, to in rig.sent if to == VIEWER and one[:2] == b"\x00\x01")
        question = stun.parse(asked)
        assert question is not None
        assert (question.to, question.by) == ("Frag", session.ufrag)
        password = "password" * 3
        rig.come(stun.success(question, "wrong" * 5, VIEWER), VIEWER)
        rig.come(stun.success(question, password, VIEWER)[:-5], VIEWER)
        rig.come(stun.success(question, password, OTHER), OTHER)
        assert session._peer == OTHER
        rig.come(stun.success(question, password, VIEWER), VIEWER)
        assert session._peer == VIEWER
        rig.sessions.end_all("enough")
        await asyncio.sleep(0)

    in_loop(scenario)


@pytest.mark.parametrize("has_handshake", [True, False])
def test_who_does_not_connect_in_time_is_ended(has_handshake: bool) -> None:
    async def scenario(rig: Rig) -> None:
        session = rig.session()
        if has_handshake:
            rig.come(request(session))
        rig.sessions.check(rig.now + CONNECT_S - 1)
        assert not rig.ended
        rig.sessions.check(rig.now + CONNECT_S + 1)
        assert len(rig.ended) == 1
        assert not len(rig.sessions)
        await asyncio.sleep(0)

    in_loop(scenario)


def test_who_does_not_connect_keeps_nobody_of_another_address_out() -> None:
    async def scenario(rig: Rig) -> None:
        exempt, most = Networks(("198.51.100.0/24",)), 6
        held = [rig.session(f"192.0.2.{1 + number % 2}:80") for number in range(5)]
        assert rig.sessions.giving_way("192.0.2.9", most, exempt) is None, "there is room"
        held.append(rig.session("192.0.2.1:80"))
        first = rig.sessions.giving_way("192.0.2.9", most, exempt)
        assert first == (held[0], held[2], held[4], held[5]), "those of who has the most"
        assert rig.sessions.giving_way("192.0.2.1", most, exempt) == ()
        assert rig.sessions.giving_way("198.51.100.1", most, exempt) == first
        rig.sessions.end_all("enough")
        await asyncio.sleep(0)

    in_loop(scenario)


def test_a_conflict_of_roles_is_said_to_who_knows_the_password() -> None:
    async def scenario(rig: Rig) -> None:
        session = rig.session()
        rig.come(request(session, None, (stun.CONTROLLED, bytes(8))))
        ((answered, _),) = rig.sent
        assert b"Role Conflict" in answered
        assert session._dtls is None

    in_loop(scenario)


def test_the_port_is_bound_only_when_nobody_else_of_the_farm_can_have_it() -> None:
    async def scenario(rig: Rig) -> None:
        may_bind = False
        listening = asyncio.ensure_future(rig.sessions.listen("127.0.0.1", 0, lambda: may_bind))
        waiting = asyncio.ensure_future(rig.sessions.has_port())
        await asyncio.sleep(0)
        assert rig.sessions.port is None
        may_bind = True
        rig.sessions.look_again()
        await listening
        assert await waiting, "a viewer that asked meanwhile is served"
        rig.sessions.close()

    in_loop(scenario)


def test_a_port_that_is_given_is_taken_and_a_second_one_is_not() -> None:
    async def scenario(rig: Rig) -> None:
        listening = asyncio.ensure_future(rig.sessions.listen("127.0.0.1", 0, lambda: False))
        await asyncio.sleep(0)
        assert rig.sessions.take(bound("127.0.0.1", 0))
        await listening
        with bound("127.0.0.1", 0) as other:
            assert not rig.sessions.take(other)
        rig.sessions.close()

    in_loop(scenario)


def test_what_is_of_no_session_here_is_passed_on() -> None:
    async def scenario(rig: Rig) -> None:
        passed: list[bytes] = []
        rig.sessions.relay = lambda datagram, address: passed.append(datagram)
        session = rig.session()
        others = stun.binding_request("another:x", "p" * 24, bytes(12))
        for datagram in (others, b"\x16" + bytes(60), b"\x80\xc8" + bytes(60)):
            rig.come(datagram)
        assert passed == [others, b"\x16" + bytes(60), b"\x80\xc8" + bytes(60)]
        rig.come(request(session, "wrong" * 6))
        rig.come(request(session))
        assert len(passed) == 3, "of a session here"
        rig.sessions.end_all("enough")
        await asyncio.sleep(0)

    in_loop(scenario)


def test_sessions_are_found_by_their_stream() -> None:
    async def scenario(rig: Rig) -> None:
        sessions = rig.sessions
        one, other = rig.session(), rig.session()
        assert set(sessions.of_stream(one.stream_id)) == {one, other}
        one.end("enough")
        assert sessions.of_stream(one.stream_id) == (other,)
        other.end("enough")
        assert sessions.of_stream(one.stream_id) == ()
        assert not sessions._by_stream

    in_loop(scenario)
