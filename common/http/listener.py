"""The listening socket of a child that serves HTTP (IO): it has one, or goes on trying.

An address in use is no reason to end: the process stays, says so once, and tries again.
"""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Sequence
from typing import Final

from common.config.settings import Listen
from common.config.values import ListenAddress

log = logging.getLogger("tfarm.common.http.listener")

RETRY_S: Final = 10.0  # an address that is in use


class HttpListener:
    """The listener of one process."""

    def __init__(
        self,
        listen: Listen,
        key: str,
        inherited: Sequence[socket.socket] = (),
        *,
        is_shared: bool = False,
    ) -> None:
        """Listen, if that can be done now; `inherited` is what a process before listens by.

        `key` is the configuration's key of the address. `is_shared`: other processes of this kind
        listen there too, each for a part of the connections.
        """
        self._listen = listen
        self._is_shared = is_shared
        self._key = key
        self.socket: socket.socket | None = inherited[0] if inherited else None
        if self.socket is None:
            self._try(is_first=True)
        else:
            self._log()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, HOST:PORT; empty while it does not."""
        if self.socket is None or self.socket.fileno() < 0:
            return ()
        host, port = self.socket.getsockname()[:2]
        return (ListenAddress().write(Listen(host, port)),)

    async def wait(self) -> socket.socket:
        """Return the socket as soon as it listens."""
        while self.socket is None:
            await asyncio.sleep(RETRY_S)
            self._try(is_first=False)
        return self.socket

    def close(self) -> None:
        """Listen no more."""
        if self.socket is not None:
            self.socket.close()

    def _try(self, *, is_first: bool) -> None:
        try:
            self.socket = listening_socket(self._listen, is_shared=self._is_shared)
        except OSError as error:
            if is_first:
                where = ListenAddress().write(self._listen)
                reason = os.strerror(error.errno) if error.errno else str(error)
                reason += f": give another address as {self._key}"
                log.warning("no HTTP yet address=%s again_s=%.0f reason=%s", where, RETRY_S, reason)
            return
        self._log()

    def _log(self) -> None:
        log.info("HTTP listens key=%s address=%s", self._key, self.addresses[0])


def listening_socket(listen: Listen, *, is_shared: bool = False) -> socket.socket:
    """A socket that listens at an address; `is_shared`: beside others. Raises OSError."""
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)) from error
    family, _, _, _, address = found[0]
    is_any = family == socket.AF_INET6 and address[0] == "::"
    return socket.create_server(
        address[:2],
        family=family,
        reuse_port=is_shared,
        dualstack_ipv6=is_any and socket.has_dualstack_ipv6(),
    )
