"""Sends one request to a hook and reads its answer, both bounded (IO)."""

import asyncio
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from hooks.answers import MAX_BODY_BYTES, TOO_BIG

KEEPALIVE_S = 15.0
MAX_CONNECTIONS = 1_000  # of all apps; `hooks/dispatch.py` bounds those of each
MAX_LINE_BYTES = 8 * 1024  # of the answer's headers


class HookFailed(Exception):
    """There is no answer, and why; the words hold no path or query of the address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


class HttpClient:
    """Keeps connections to the hooks; made on the running loop."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # what is small may not become large
            trust_env=False,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
        )
        self._trusted: dict[str, ssl.SSLContext] = {}  # by file

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float, ca_file: str
    ) -> Answer:
        """Send a request; redirections are not followed.

        Raises:
            HookFailed: there is no whole answer in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                async with self._session.post(
                    url,
                    data=body,
                    headers={"Accept-Encoding": "identity", **headers},
                    allow_redirects=False,
                    ssl=self._context(ca_file),
                ) as response:
                    return Answer(response.status, await _read(response))
        except TimeoutError:
            raise HookFailed(f"it did not answer within {timeout_s:.3g} s") from None
        except aiohttp.ClientConnectorCertificateError as error:
            why = getattr(error.certificate_error, "verify_message", "") or "it is not trusted"
            raise HookFailed(f"its certificate: {why}") from None
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno
            why = os.strerror(number) if number and number > 0 else str(error.os_error.strerror)
            raise HookFailed(f"it cannot be reached: {why}") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise HookFailed(f"it breaks HTTP: {type(error).__name__}") from None
        except OSError as error:
            raise HookFailed(f"it cannot be reached: {error.strerror or error}") from None

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    def _context(self, ca_file: str) -> ssl.SSLContext | bool:
        """The certificates that are trusted; raises OSError where they cannot be read."""
        if not ca_file:
            return True
        if ca_file not in self._trusted:
            self._trusted[ca_file] = ssl.create_default_context(cafile=ca_file)
        return self._trusted[ca_file]

    def forget_certificates(self) -> None:
        """Read the files anew: the configuration was."""
        self._trusted.clear()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            response.close()
            raise HookFailed(TOO_BIG)
    return bytes(body)
