"""common/etcd/client.py against a gateway whose endpoints are well, slow, gone or lying."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from common.etcd import messages
from common.etcd.client import MAX_HEDGED, Credentials, EtcdClient
from common.etcd.errors import EtcdAway, EtcdError, EtcdRefused
from common.etcd.messages import Answer, Compare, WatchAnswer
from tests.kit.certificates import make
from tests.kit.etcd import Etcd, needs_etcd
from tests.kit.etcd_gateway import EtcdGateway
from tests.kit.waiting import until_async

READ = messages.read("a")
LONG_S = 30.0  # a bound that no test waits for
Scenario = Callable[[EtcdGateway, EtcdClient], Awaitable[None]]


def run(scenario: Scenario, endpoints: int = 3, credentials: Credentials | None = None) -> None:
    async def main() -> None:
        async with EtcdGateway(endpoints) as gateway:
            client = EtcdClient(gateway.urls, credentials)
            try:
                await scenario(gateway, client)
            finally:
                await client.close()

    asyncio.run(main())


def claim(key: str, value: bytes, lease: int) -> messages.Request:
    get = [messages.get(key)]
    return messages.transaction([Compare(key, create=0)], [messages.put(key, value, lease)], get)


def test_a_key_is_made_once_and_goes_with_its_lease() -> None:
    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        assert (await client.call(messages.grant(7, 5), LONG_S)).ttl_s == 5
        assert (await client.call(claim("a", b"v", 7), LONG_S)).succeeded
        again = await client.call(claim("a", b"w", 7), LONG_S)
        assert (again.succeeded, again.kvs[0].value, again.kvs[0].lease) == (False, b"v", 7)
        await client.call(messages.revoke(7), LONG_S)
        assert (await client.call(READ, LONG_S)).kvs == ()

    run(scenario)


def test_where_all_endpoints_are_slow_few_calls_make_them_slower_yet() -> None:
    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        for endpoint in gateway.endpoints:
            endpoint.fault = "silent"
        asked = [asyncio.ensure_future(client.call(READ, LONG_S)) for _ in range(6)]
        last = gateway.endpoints[2].requests
        await until_async(lambda: len(last) == MAX_HEDGED)
        assert [len(one.requests) for one in gateway.endpoints] == [6, MAX_HEDGED, MAX_HEDGED]
        urgent = asyncio.ensure_future(client.call(READ, LONG_S, is_urgent=True))
        await until_async(lambda: len(last) == MAX_HEDGED + 1)
        for one in (*asked, urgent):
            one.cancel()

    run(scenario)


def test_what_is_said_of_an_endpoint_that_nothing_is_asked_of_is_true() -> None:
    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        gateway.endpoints[0].fault = "no-json"
        assert await client.call(READ, LONG_S) == Answer(1)
        assert client.faults[gateway.urls[0]]
        gateway.endpoints[0].fault, gateway.endpoints[2].fault = "", "cut"
        await client.look()
        assert [bool(client.faults[url]) for url in gateway.urls] == [False, False, True]
        assert gateway.endpoints[1].requests == ["/v3/kv/range"], "it answers anyhow"

    run(scenario)


def test_calls_that_wait_for_one_endpoint_follow_one_that_found_another() -> None:
    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        gateway.endpoints[0].fault = "silent"
        asked = [client.call(READ, LONG_S) for _ in range(6)]
        assert await asyncio.gather(*asked) == [Answer(1)] * 6

    run(scenario)


@pytest.mark.parametrize(
    "fault", ["silent", "cut", "huge", "no-json", "http-500", "no-leader", "common-name"]
)
def test_an_endpoint_that_is_not_well_costs_no_answer(fault: str) -> None:
    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        gateway.endpoints[0].fault = fault
        assert await client.call(READ, LONG_S) == Answer(1)
        assert gateway.endpoints[0].requests == ["/v3/kv/range"]
        assert client.faults[gateway.urls[0]]
        assert client.faults[gateway.urls[1]] == ""
        # who has answered is asked first from then on
        assert await client.call(READ, LONG_S) == Answer(1)
        assert len(gateway.endpoints[0].requests) == 1

    run(scenario)


def test_all_endpoints_are_asked_when_none_is_fast_and_the_first_answer_counts() -> None:
    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        for endpoint in gateway.endpoints:
            endpoint.fault = "silent"
        asked = asyncio.ensure_future(client.call(READ, LONG_S))
        await until_async(lambda: all(endpoint.requests for endpoint in gateway.endpoints))
        asked.cancel()
        gateway.endpoints[2].fault = ""
        assert await client.call(READ, LONG_S) == Answer(1)

    run(scenario)


def test_endpoints_that_are_silent_are_asked_anew_while_a_call_waits() -> None:
    """A connection that began while the network was cut goes on a second after that, or more."""

    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        for endpoint in gateway.endpoints:
            endpoint.fault = "silent"
        asked = asyncio.ensure_future(client.call(READ, LONG_S))
        await until_async(lambda: all(endpoint.requests for endpoint in gateway.endpoints))
        for endpoint in gateway.endpoints:
            endpoint.fault = ""
        assert await asked == Answer(1)

    run(scenario)


def test_a_claim_that_two_endpoints_are_given_is_made_once() -> None:
    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        await client.call(messages.grant(7, 60), LONG_S)
        for endpoint in gateway.endpoints:
            endpoint.fault, endpoint.delay_s = "slow", 0.5
        answer = await client.call(claim("a", b"v", 7), LONG_S)
        is_own = answer.succeeded or (answer.kvs[0].value, answer.kvs[0].lease) == (b"v", 7)
        assert is_own
        assert gateway.store.keys["a"].create == 2

    run(scenario)


def test_there_is_a_reason_where_nobody_answers() -> None:
    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        for endpoint in gateway.endpoints:
            endpoint.fault = "no-leader"
        with pytest.raises(EtcdAway, match="no leader"):
            await client.call(READ, LONG_S)
        for endpoint in gateway.endpoints:
            endpoint.fault = "silent"
        with pytest.raises(EtcdAway, match="no answer within 0"):
            await client.call(READ, 0.2)

    run(scenario)
    with pytest.raises(EtcdAway, match="cannot be reached"):
        asyncio.run(_ask("http://127.0.0.1:1"))


async def _ask(*urls: str, credentials: Credentials | None = None) -> Answer:
    client = EtcdClient(urls, credentials)
    try:
        return await client.call(READ, LONG_S)
    finally:
        await client.close()


def test_a_refusal_is_final_and_no_other_endpoint_is_asked() -> None:
    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        with pytest.raises(EtcdRefused) as caught:
            await client.call(claim("a", b"v", 8), LONG_S)
        assert caught.value.is_lease_missing
        assert [len(endpoint.requests) for endpoint in gateway.endpoints] == [1, 0, 0]

    run(scenario)


def test_a_watch_reports_what_changes_and_wants_a_leader() -> None:
    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        found: list[WatchAnswer] = []

        async def watch() -> None:
            async with aclosing(client.watch(messages.watch("a", "b", 1))) as answers:
                async for answer in answers:
                    found.append(answer)

        task = asyncio.ensure_future(watch())
        await until_async(lambda: found)
        await client.call(messages.grant(7, 60), LONG_S)
        await client.call(claim("a", b"v", 7), LONG_S)
        await client.call(messages.revoke(7), LONG_S)
        await until_async(lambda: len(found) == 3)
        assert found[0].is_created
        assert [event.kv.value for event in found[1].events] == [b"v"]
        assert [event.is_delete for event in found[2].events] == [True]
        assert gateway.endpoints[0].has_leader_wanted
        # its endpoint loses the leader: the next watch is another endpoint's
        gateway.endpoints[0].is_broken.set()
        with pytest.raises(EtcdAway, match="no leader"):
            await task
        again = client.watch(messages.watch("a", "b", 1))
        assert (await anext(again)).is_created
        await again.aclose()
        assert "/v3/watch" in gateway.endpoints[1].requests

    run(scenario)


@pytest.mark.parametrize(
    "fault", ["cut", "huge", "no-json", "http-500", "no-leader", "common-name"]
)
def test_a_watch_that_cannot_be_had_fails(fault: str) -> None:
    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        gateway.endpoints[0].fault = fault
        with pytest.raises(EtcdError):
            await anext(client.watch(messages.watch("a", "b", 1)))

    run(scenario)


def test_a_token_is_asked_for_and_anew_when_it_is_not_good_any_more() -> None:
    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        gateway.store.password = {"tfarm": "pw"}
        await client.call(READ, LONG_S)
        gateway.store.tokens.clear()
        await client.call(READ, LONG_S)
        assert gateway.endpoints[0].requests.count("/v3/auth/authenticate") == 2

    run(scenario, 1, Credentials(user="tfarm", password="pw"))


def test_a_wrong_password_is_refused_in_etcds_words() -> None:
    async def scenario(gateway: EtcdGateway, client: EtcdClient) -> None:
        gateway.store.password = {"tfarm": "pw"}
        with pytest.raises(EtcdRefused, match="invalid user ID or password"):
            await client.call(READ, LONG_S)

    run(scenario, 1, Credentials(user="tfarm", password="other"))


def test_tls_both_ways_and_a_certificate_that_is_changed(tmp_path: Path) -> None:
    server, host, other = (make(tmp_path, name) for name in ("server", "host", "other"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    context.load_verify_locations(host.certificate)
    context.verify_mode = ssl.CERT_REQUIRED

    def shown(name: Path, key: Path) -> Credentials:
        return Credentials(f"{server.certificate}", f"{name}", f"{key}")

    async def main() -> None:
        async with EtcdGateway(1, context) as gateway:
            client = EtcdClient(gateway.urls, shown(host.certificate, host.key))
            assert await client.call(READ, LONG_S) == Answer(1)
            await client.close()
            with pytest.raises(EtcdAway):
                await _ask(*gateway.urls, credentials=shown(other.certificate, other.key))
            with pytest.raises(EtcdAway, match="its certificate: self-signed"):
                await _ask(*gateway.urls, credentials=Credentials(f"{other.certificate}"))
            client = EtcdClient(gateway.urls, shown(other.certificate, other.key))
            with pytest.raises(OSError, match="No such file"):
                client.reload(shown(tmp_path / "gone.pem", host.key))
            client.reload(shown(host.certificate, host.key))
            assert await client.call(READ, LONG_S) == Answer(1)
            await client.close()

    asyncio.run(main())


@needs_etcd
def test_real_etcd_does_what_the_model_does(tmp_path: Path) -> None:
    """All that the cluster child asks for, of one member and of the model."""

    async def ask(urls: list[str]) -> list[object]:
        client = EtcdClient(urls)
        found: list[object] = []
        lost = messages.put("b", b"v", 99)
        requests = [
            messages.keep_alive(7),
            messages.grant(7, 5),
            messages.grant(7, 5),
            messages.keep_alive(7),
            messages.time_to_live(99),
            claim("a", b"v", 7),
            claim("a", b"w", 7),
            messages.transaction([], [lost]),
            messages.transaction([Compare("a", mod=2)], [messages.put("a", b"x", 7)]),
            messages.transaction([Compare("a", mod=2)], [messages.delete("a")]),
            claim("b", b"", 0),
            messages.read("a", "c"),
            messages.read("a", "c", limit=1),
            messages.transaction([Compare("b", mod=4)], [messages.delete("b")]),
            messages.revoke(7),
            messages.revoke(7),
            messages.read("a", "c"),
        ]
        for request in requests:
            try:
                found.append(await client.call(request, LONG_S))
            except EtcdRefused as refused:
                found.append((refused.code, str(refused)))
        await client.call(messages.grant(8, 50), LONG_S)
        left = await client.call(messages.time_to_live(8), LONG_S)
        found.append((left.granted_s, left.ttl_s in (49, 50)))  # whole seconds, rounded down
        async with aclosing(client.watch(messages.watch("a", "c", 1))) as answers:
            events: list[messages.Event] = []
            async for answer in answers:
                events += answer.events
                if answer.revision and events and events[-1].kv.mod_revision == 6:
                    break
        await client.close()
        return [*found, events]

    async def model() -> list[object]:
        async with EtcdGateway(1) as gateway:
            return await ask(gateway.urls)

    with Etcd(tmp_path) as real:
        assert asyncio.run(ask(real.urls)) == asyncio.run(model())
