"""One stream that is fetched, for as long as it is configured (IO by what it is given).

It connects, reads until media come, asks the ingest of the stream, and passes on what follows. When
that ends, whoever ended it, it waits and begins again (`common/retries.py`).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from common.access.refusal import Refusal, RefusalReason
from common.config.remote_url import shown_url
from common.config.settings import Pull
from common.errors import TfarmError
from common.ipc.identity import stream_id
from common.ipc.remote_status import RemoteState, RemoteStatus
from common.ipc.unit_messages import (
    PublishAccepted,
    PublishAsk,
    PublishFinished,
    PublishHeldBack,
    PublishRefused,
)
from common.ipc.unit_sender import UnitSender
from common.ipc.unit_ways import Answer, Way, Ways
from common.process.log import stream_label
from common.retries import Retries
from ingest.pull.source import Batch, Memory, Source, SourceError

log = logging.getLogger("tfarm.ingest.pull.puller")

ANSWER_S: Final = 15.0  # of the ingest: one that waits for room takes 8
NO_INGEST: Final = Refusal(RefusalReason.UNAVAILABLE, "no ingest is there")
MAX_WORDS: Final = 200


class _Over(TfarmError):
    """Its ingest does not take the stream, or no more of it."""


class Puller:
    """A `UnitPublisher`."""

    def __init__(
        self,
        pull: Pull,
        ways: Ways,
        make: Callable[[Pull, Memory], Source],
        retries: Retries,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self.pull = pull
        self._ways, self._make, self._retries = ways, make, retries
        self._unix_time = unix_time
        self._shown = shown_url(pull.url)
        self._stream_id = stream_id(pull.app, pull.key)
        self._label = stream_label(self._stream_id)
        self._state, self._since_unix = RemoteState.CONNECTING, unix_time()
        self._reason = ""
        self._retry_unix = 0.0
        self.attempts = self.connected = self.received_bytes = 0
        self._memory = Memory()
        self._source: Source | None = None
        self._way: Way | None = None
        self._answer: asyncio.Future[str] | None = None  # "": accepted; why not
        self._over = ""  # why its ingest takes no more
        self._held_until_s = 0.0
        self._sender = UnitSender()

    @property
    def skipped(self) -> int:
        """Units that its ingest did not take."""
        return self._sender.skipped

    @property
    def status(self) -> RemoteStatus:
        """What is told of it, with every heartbeat."""
        return RemoteStatus(
            self._stream_id,
            self._shown,
            self._state,
            self._since_unix,
            reason=self._reason,
            attempts=self.attempts,
            connected=self.connected,
            bytes=self.received_bytes,
            retry_unix=self._retry_unix,
        )

    async def run(self, after_s: float = 0.0) -> None:
        """Fetch it again and again, until this is cancelled."""
        await asyncio.sleep(after_s)
        while True:
            ran_s = await self._attempt()
            wait_s = self._retries.wait_s(ran_s)
            self._retry_unix = self._unix_time() + wait_s
            self._be(RemoteState.WAITING)
            fields = "pull ended stream=%s url=%s seconds=%.0f again_s=%.1f reason=%s"
            log.info(fields, self._label, self._shown, ran_s, wait_s, self._reason)
            await asyncio.sleep(wait_s)

    # ---- its ingest ---------------------------------------------------------------------------

    def on_answer(self, answer: Answer) -> None:
        match answer:
            case PublishAccepted():
                self._answered("")
            case PublishRefused(refusal=refusal):
                self._way = None
                self._end(refusal.words)
            case PublishFinished(reason=reason):
                self._way = None
                self._end(reason)
            case PublishHeldBack(seconds=seconds):
                self._held_until_s = time.monotonic() + seconds
            case _:
                pass

    def on_cut_off(self, reason: str) -> None:
        self._way = None
        self._end(reason)

    # ---- inside -------------------------------------------------------------------------------

    async def _attempt(self) -> float:
        """Connect, and pass on what comes; how long that ran."""
        self.attempts += 1
        self._over, self._retry_unix = "", 0.0
        self._sender.begin_anew()
        self._be(RemoteState.CONNECTING)
        began_s: float | None = None
        source = self._source = self._make(self.pull, self._memory)
        try:
            await source.open()
            batch = await source.read()
            await self._ask(source.peer)
            began_s = time.monotonic()
            self._begin(source.peer)
            while True:
                self._pass_on(batch)
                if (held_s := self._held_until_s - time.monotonic()) > 0:
                    await asyncio.sleep(held_s)
                batch = await source.read()
        except (SourceError, _Over) as error:
            self._reason = (self._over or str(error))[:MAX_WORDS]
        except asyncio.CancelledError:
            self._reason = "it is not pulled any more"
            raise
        except Exception:  # a bug met by one stream must not stay with the others
            log.exception("pulling failed stream=%s", self._label)
            self._reason = "a fault of tfarm's; the log has it"
        finally:
            self._source = None
            if self._way is not None:
                self._way.over(self._reason)
                self._way = None
            await source.close()
        return time.monotonic() - began_s if began_s is not None else 0.0

    async def _ask(self, peer: str) -> None:
        """Ask the ingest of the stream, and wait for its answer. Raises _Over."""
        pull = self.pull
        self._answer = asyncio.get_running_loop().create_future()

        def make(number: int) -> PublishAsk:
            return PublishAsk(number, pull.app, pull.key, peer, "pull", is_ordered=True)

        self._way = self._ways.ask(self, pull.stream_id, make)
        if self._way is None:
            raise _Over(NO_INGEST.words)
        try:
            async with asyncio.timeout(ANSWER_S):
                words = await self._answer
        except TimeoutError:
            words = "the ingest did not answer"
        finally:
            self._answer = None
        if words:
            raise _Over(words)

    def _begin(self, peer: str) -> None:
        self.connected += 1
        self._reason = ""
        self._be(RemoteState.RUNNING)
        log.info("pull began stream=%s url=%s peer=%s", self._label, self._shown, peer)

    def _pass_on(self, batch: Batch) -> None:
        self.received_bytes += batch.sizes()
        if self._way is not None:
            self._sender.send(self._way, batch.items, batch.payloads)
        if self._over:
            raise _Over(self._over)

    def _answered(self, words: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(words)

    def _end(self, words: str) -> None:
        """It is over by its ingest's word."""
        self._over = self._over or words
        self._answered(words)
        if self._source is not None:
            self._source.end()

    def _be(self, state: RemoteState) -> None:
        if state is not self._state:
            self._state, self._since_unix = state, self._unix_time()
