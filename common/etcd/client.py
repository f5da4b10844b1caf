"""A client of etcd's JSON gateway over several endpoints (IO).

A request is *hedged*: after 150 ms without an answer it goes to the next endpoint as well, and the
first answer counts. So everything that is sent must be fit to be done twice: a transaction that
compares, a lease with a number of its own. Where all endpoints are slow that would make them slower
yet: of what is not urgent only so many are hedged at a time, and as many as want to where another
endpoint has turned out to be faster. A connection that is cut is noticed within 3 s, by TCP's
keepalive and user timeout; the gateway's own health is not asked for.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from common.etcd.errors import EtcdAway, EtcdError, EtcdRefused
from common.etcd.messages import (
    MAX_ANSWER_BYTES,
    Answer,
    Request,
    WatchAnswer,
    answer_of,
    authenticate,
    maintenance_status,
    watch_answer_of,
)

HEDGE_S: Final = 0.15
MAX_HEDGED: Final = 2
AGAIN_S: Final = 0.25  # an endpoint is tried anew: a connection that began in a split waits longer
MAX_ATTEMPTS: Final = 9  # of one call
CONNECT_S: Final = 2.0
MAX_CONNECTIONS: Final = 64  # to all endpoints
MAX_LINE_BYTES: Final = 8 * 1024  # of a header
USER_TIMEOUT_MS: Final = 2_000
# A watch of a member that has lost the others ends, instead of being silent.
HAS_LEADER: Final = {"Grpc-Metadata-hasleader": "true"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """How etcd is convinced of who this is, and who is convinced of etcd."""

    ca: str = ""  # PEM file; "": what the system trusts
    cert: str = ""  # PEM file; "": none is shown
    key: str = ""
    user: str = ""
    password: str = field(default="", repr=False)

    def context(self) -> ssl.SSLContext:
        """TLS as this says. Raises OSError, of which ssl.SSLError is one."""
        context = ssl.create_default_context(cafile=self.ca or None)
        if self.cert:
            context.load_cert_chain(self.cert, self.key)
        return context


class EtcdClient:
    """Made on the running loop. `endpoints` are URLs without a path."""

    def __init__(self, endpoints: Sequence[str], credentials: Credentials | None = None) -> None:
        """Raises OSError where certificates cannot be read."""
        self._endpoints = tuple(endpoints)
        self._preferred = 0
        self._hedged_now = 0  # calls that more than one endpoint has
        self._credentials = credentials or Credentials()
        self._token = ""  # nosec B105 # there is none yet
        self._context = self._new_context()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS, keepalive_timeout=30.0, socket_factory=_new_socket
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
        )
        # What was wrong with each endpoint when it was last asked; "": nothing.
        self.faults: dict[str, str] = dict.fromkeys(self._endpoints, "")

    def reload(self, credentials: Credentials) -> None:
        """Use other files from the next connection on.

        Raises:
            OSError: they cannot be read; those of before go on.
        """
        before, self._credentials = self._credentials, credentials
        try:
            self._context = self._new_context()
        except OSError:
            self._credentials = before
            raise
        self._token = ""  # nosec B105 # there is none yet

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def call(self, request: Request, timeout_s: float, *, is_urgent: bool = False) -> Answer:
        """Ask, at one endpoint after the other; what is urgent is always hedged.

        Raises:
            EtcdRefused: etcd says no.
            EtcdAway: no endpoint has answered in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._authenticated(request, is_urgent)
        except TimeoutError:
            raise EtcdAway(f"no answer within {timeout_s:.3g} s") from None

    async def look(self) -> None:
        """Ask the endpoints that are not asked otherwise, so that `faults` is true of them."""
        others = [number for number in range(len(self._endpoints)) if number != self._preferred]
        await asyncio.gather(*map(self._look_at, others))

    async def watch(self, request: Request) -> AsyncGenerator[WatchAnswer, None]:
        """Report what changes, from one endpoint, until that fails.

        Raises:
            EtcdError: it has failed; the next one begins at another endpoint.
        """
        number = self._preferred
        url = self._endpoints[number]
        try:
            async for answer in self._watch(url, request):
                yield answer
        except EtcdError as error:
            self.faults[url] = str(error)
            raise
        finally:
            if self._preferred == number:
                self._preferred = (number + 1) % len(self._endpoints)

    # ---- inside -------------------------------------------------------------------------------

    def _new_context(self) -> ssl.SSLContext | None:
        is_used = any(url.startswith("https:") for url in self._endpoints)
        return self._credentials.context() if is_used else None

    async def _authenticated(self, request: Request, is_urgent: bool) -> Answer:
        if not self._credentials.user:
            return await self._hedged(request, is_urgent)
        if not self._token:
            await self._authenticate()
        try:
            return await self._hedged(request, is_urgent)
        except EtcdRefused as error:
            if not error.is_unauthenticated:
                raise
        await self._authenticate()  # a token ends, and with a member that starts anew all do
        return await self._hedged(request, is_urgent)

    async def _authenticate(self) -> None:
        self._token = ""  # nosec B105 # there is none yet
        asked = authenticate(self._credentials.user, self._credentials.password)
        self._token = (await self._hedged(asked, is_urgent=True)).token

    async def _hedged(self, request: Request, is_urgent: bool) -> Answer:
        """The first answer of any endpoint; raises as `call`."""
        body = request.body()
        waiting: dict[asyncio.Task[Answer], int] = {}
        first, count = self._preferred, len(self._endpoints)
        failure: EtcdError = EtcdAway("there is no endpoint")
        is_counted = False
        try:
            for step in range(MAX_ATTEMPTS):
                if step >= count and not waiting:
                    break  # all have failed
                number = (first + step) % count
                if waiting and not is_counted:
                    is_counted = True
                    self._hedged_now += 1
                waiting[asyncio.create_task(self._ask(number, request.path, body))] = number
                is_last = step == MAX_ATTEMPTS - 1
                while waiting:
                    limit = None if is_last else HEDGE_S if step < count - 1 else AGAIN_S
                    done, _ = await asyncio.wait(
                        waiting, timeout=limit, return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in done:
                        number = waiting.pop(task)
                        try:
                            answer = task.result()
                        except EtcdAway as error:
                            failure = error
                            continue
                        self._preferred = number
                        return answer
                    is_free = is_urgent or is_counted or self._may_hedge(waiting.values())
                    is_time = not done or step < count - 1
                    if is_free and is_time and not is_last:
                        break
        finally:
            self._hedged_now -= is_counted
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        raise failure

    def _may_hedge(self, asked: Collection[int]) -> bool:
        """Tell if what these endpoints have not answered in time may go to another one."""
        return self._hedged_now < MAX_HEDGED or self._preferred not in asked

    async def _ask(self, number: int, path: str, body: bytes) -> Answer:
        url = self._endpoints[number]
        try:
            answer = answer_of(await self._post(url, path, body))
        except EtcdRefused:
            self.faults[url] = ""
            raise
        except EtcdAway as error:
            self.faults[url] = str(error)
            raise
        except asyncio.CancelledError:
            self.faults[url] = "another endpoint was faster"
            raise
        self.faults[url] = ""
        return answer

    async def _look_at(self, number: int) -> None:
        asked = maintenance_status()
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._ask(number, asked.path, asked.body())
        except TimeoutError:
            self.faults[self._endpoints[number]] = f"no answer within {CONNECT_S:.3g} s"
        except EtcdError:
            pass  # it is noted

    async def _post(self, url: str, path: str, body: bytes) -> bytes:
        try:
            async with self._request(url, path, body) as response:
                return await _read(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise EtcdAway(_words(error)) from None

    async def _watch(self, url: str, request: Request) -> AsyncGenerator[WatchAnswer, None]:
        left = b""
        try:
            async with self._request(url, request.path, request.body(), HAS_LEADER) as response:
                async for piece in response.content.iter_any():
                    *lines, left = (left + piece).split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield watch_answer_of(line)
                    if len(left) > MAX_ANSWER_BYTES:
                        raise EtcdAway("its answer is too large")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise EtcdAway(_words(error)) from None
        if left.strip():
            yield watch_answer_of(left)  # an error has no end of line
        raise EtcdAway("it has ended a watch")

    def _request(
        self, url: str, path: str, body: bytes, headers: dict[str, str] | None = None
    ) -> Any:
        token = {"Authorization": self._token} if self._token else {}
        return self._session.post(
            url + path,
            data=body,
            headers={"Content-Type": "application/json", **token, **(headers or {})},
            allow_redirects=False,
            ssl=self._context or True,
        )


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            response.close()
            raise EtcdAway("its answer is too large")
    if response.status >= 400 and b"CommonName" in body:  # etcd 3.4 and 3.5, where users are on
        raise EtcdAway("it refuses a certificate that has a common name, beside a user")
    if response.status >= 400 and not body.startswith(b"{"):
        raise EtcdAway(f"it answers HTTP status {response.status}")
    return bytes(body)


def _words(error: Exception) -> str:
    """What is wrong with a connection, without what a peer may have sent."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or "it is not trusted"
        return f"its certificate: {why}"
    if isinstance(error, aiohttp.ClientConnectorError):
        why = error.os_error.strerror or type(error.os_error).__name__
        return f"it cannot be reached: {why}"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return "it has cut the connection"
    if isinstance(error, TimeoutError):
        return "it cannot be reached within 2 s"
    if isinstance(error, aiohttp.ClientError | ValueError):
        return f"it breaks HTTP: {type(error).__name__}"
    return f"it cannot be reached: {getattr(error, 'strerror', None) or error}"


def _new_socket(address: Any) -> socket.socket:
    """A socket whose peer's silence is noticed."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    return made
