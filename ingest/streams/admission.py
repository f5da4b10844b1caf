"""Who may connect and publish: limits per address and in all, publish keys, refusals remembered.

Counts and token buckets over values; the shell asks before it takes memory for a peer. Exempt
networks (loopback unless configured otherwise) meet only the limits that guard the process itself.
Where several ingests share a port, the limits per address are the farm's: each knows what
addresses have at the others, and lets handshakes come at its part of the rate, since the kernel
spreads connections evenly.

Pure: `now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from common.access.address_limits import AddressBook, AddressUsageByPeer, too_many_publishes
from common.access.authorise import (
    Shown,
    authorise_publish,
    is_key_a_name,
    publish_entry_names,
)
from common.access.bans import Bans
from common.access.credentials import Credentials, credentials
from common.access.peer_address import Networks, subscriber
from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.signed_url import Direction
from common.access.wrong_keys import WrongKeys
from common.config.ladder import SourceFormat
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.config.settings import IngestSettings, Settings
from common.ipc.identity import StreamId, split_stream_id, stream_id
from common.ipc.unit_messages import Judged
from common.media.clock import ResumeTime
from common.process.log import key_hash, stream_label
from ingest.streams.source_gop import SourceGop

REMEMBER_S = 30.0
MAX_REMEMBERED = 1_000
MAX_BUCKETS = 10_000
_HANDSHAKE_BURST = 2.0  # seconds' worth of handshakes that may come at once


class Admission:
    """The books of one listener: `admit` and `release` a connection, a publish likewise."""

    def __init__(self, settings: IngestSettings, max_descriptors: int) -> None:
        """`max_descriptors` connections are the most that the process can hold open."""
        self._max_descriptors = max_descriptors
        self._open = 0
        self._addresses = AddressBook()
        self._wrong_keys = WrongKeys()
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens, and when they were counted
        self.configure(settings)

    def configure(self, settings: IngestSettings) -> None:
        """Use other limits from now on; what is open stays open."""
        self._settings = settings
        self._exempt = Networks(settings.exempt_networks)
        self._wrong_keys.configure(self._exempt)
        self._addresses.configure(
            settings.max_connections_per_address, settings.max_publishes_per_address, self._exempt
        )

    @property
    def open_connections(self) -> int:
        return self._open

    def address_usage(self) -> dict[str, tuple[int, int]]:
        """What limited addresses have here: connections and publishers."""
        return self._addresses.usage()

    def set_usage_elsewhere(self, usage: AddressUsageByPeer) -> None:
        """Take over what addresses have at the other ingests, in the form of `address_usage`."""
        self._addresses.set_elsewhere(usage)

    def admit(self, host: str, now: float) -> str | None:
        """Count a new connection in, or say why not."""
        settings = self._settings
        total = self._open
        if total >= settings.max_connections:
            return f"max_connections = {settings.max_connections} are open"
        if total >= self._max_descriptors:
            return f"descriptors for {self._max_descriptors} connections are used up"
        if host not in self._exempt:
            if self._addresses.connections.is_reached(host):
                return (
                    f"max_connections_per_address = {settings.max_connections_per_address} are open"
                )
            if not self._take_token(subscriber(host), now):
                return self._too_fast()
        self._addresses.connections.here.add(host)
        self._open += 1
        return None

    def release(self, host: str) -> None:
        """Count a connection out that was admitted."""
        self._addresses.connections.here.remove(host)
        self._open -= 1

    def admit_again(self, host: str, now: float) -> str | None:
        """Another publish on a connection that had one: it counts like a new connection."""
        if host in self._exempt or self._take_token(subscriber(host), now):
            return None
        return self._too_fast()

    def admit_publish(
        self, host: str, instead_of: str | None = None, *, is_new: bool = False
    ) -> str | None:
        """Count a publisher in, or say why not.

        `instead_of` is the address of the one here that it takes the stream over from. A stream
        that `is_new` here may be the address's own at another ingest: what is published at the
        others is then left to the supervisor, to whom `is_beyond_limit` is reported.
        """
        is_own = instead_of is not None and subscriber(instead_of) == subscriber(host)
        publishers = self._addresses.publishers
        if publishers.is_reached(
            host, given_up=int(is_own), counts_elsewhere=not (is_own or is_new)
        ):
            return too_many_publishes(publishers.limit)
        publishers.here.add(host)
        return None

    def is_beyond_limit(self, host: str) -> bool:
        """Whether its last publisher was one too many by what the other ingests hold."""
        return self._addresses.publishers.is_exceeded(host)

    def release_publish(self, host: str) -> None:
        """Count a publisher out that was admitted."""
        self._addresses.publishers.here.remove(host)

    def answer_delay(self, host: str, refusal: Refusal, now: float) -> float:
        """How many seconds a refusal is to wait before it goes out."""
        return self._wrong_keys.delay(host, now) if refusal.is_wrong_key else 0.0

    def _too_fast(self) -> str:
        rate = self._settings.max_handshakes_per_address
        return f"more than max_handshakes_per_address = {rate:g} a second"

    def _take_token(self, peer: str, now: float) -> bool:
        rate = self._settings.max_handshakes_per_address
        most = max(1.0, rate * _HANDSHAKE_BURST)
        rate /= self._settings.processes
        if len(self._buckets) >= MAX_BUCKETS:
            self._forget_full_buckets(rate, most, now)
        tokens, since = self._buckets.get(peer, (most, now))
        tokens = min(most, tokens + (now - since) * rate)
        if tokens < 1:
            self._buckets[peer] = tokens, now
            return False
        self._buckets[peer] = tokens - 1, now
        return True

    def _forget_full_buckets(self, rate: float, most: float, now: float) -> None:
        self._buckets = {
            peer: (tokens, since)
            for peer, (tokens, since) in self._buckets.items()
            if tokens + (now - since) * rate < most
        }
        # Under an attack from very many addresses no book of them all is kept: begin anew.
        if len(self._buckets) >= MAX_BUCKETS:
            self._buckets.clear()


NO_BACKUP = "this app takes no backup publishers (its `backup` is not set)"
ORDERED = "pull"  # the entry of what is fetched: no key's


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a publisher brings of a stream whose owner is lost."""

    time: ResumeTime
    gop: SourceGop
    format: SourceFormat | None


@dataclass(frozen=True, slots=True)
class PublishAttempt:
    """What a connection asks for that wants to publish."""

    request_id: int  # the connection's own number of it
    app: str  # the template's name
    key: str = field(repr=False)  # the stream's name; a credential, as the next one
    publish_key: str | None = field(default=None, repr=False)  # None: it gave none
    token: str | None = field(default=None, repr=False)  # of a signed URL; likewise
    query: Mapping[str, str] = field(default_factory=dict, repr=False)  # all of it, for a hook
    judged: Judged | None = None  # by another host's ingest: rules and hooks are not asked again
    resume: Resumption | None = None  # where its stream goes on, if it is not here
    is_ordered: bool = False  # it is fetched, as the configuration says: nobody else judges it
    is_backup: bool = False  # it stands by while the main publisher is there


@dataclass(frozen=True, slots=True)
class PublishAdmitted:
    """What a publisher asks for that may have it."""

    stream: StreamId
    credentials: Credentials
    use: str = ""  # the name of its single-use URL's use
    until_unix: float = 0.0  # that URL is good
    needs_hook: bool = False
    overrides: StreamOverrides = NO_OVERRIDES  # by its hook


def check_attempt(
    attempt: PublishAttempt, settings: Settings, bans: Bans, host: str, now_unix: float
) -> PublishAdmitted | Refusal:
    """The stream that a publisher asks for, and by what it is let in, if the app's rules agree."""
    banned = bans.refusal(host, stream_id(attempt.app, attempt.key))
    if banned is not None:
        return banned
    template = settings.template(attempt.app)
    if template is None:
        words = f"there is no app {attempt.app!r} here"
        return Refusal(RefusalReason.DENIED, words, cause=Cause.NO_APP)
    if attempt.is_backup and not template.takes_backup:
        return Refusal(RefusalReason.DENIED, NO_BACKUP)
    stream = stream_id(attempt.app, attempt.key)
    if (judged := attempt.judged) is not None:
        return PublishAdmitted(stream, judged.credentials, overrides=judged.overrides)
    if attempt.is_ordered:
        return PublishAdmitted(stream, credentials(host, ORDERED))
    own = settings.stream_keys.get(stream)
    shown = Shown(host, attempt.publish_key, attempt.token)
    found = authorise_publish(template, own, attempt.key, shown, now_unix)
    if isinstance(found, Refusal):
        return found
    use, until_unix = found.single_use(Direction.PUBLISH, stream, template.signing)
    who = credentials(host, found.entry)
    return PublishAdmitted(stream, who, use, until_unix, found.needs_hook)


def entries_of(stream: StreamId, settings: Settings) -> Collection[str]:
    """The entries of keys that let a publisher of a stream in today."""
    app, _ = split_stream_id(stream)
    template = settings.template(app)
    if template is None:
        return ()
    return publish_entry_names(template, settings.stream_keys.get(stream))


def label_of(attempt: PublishAttempt, settings: Settings) -> tuple[str, str]:
    """What the log calls the stream, and its name where that is no credential, else nothing.

    Where a key or a signature lets in, the stream key is a name. What stands in the
    place of an app that is not there may be a key: people leave the app out.
    """
    template = settings.template(attempt.app)
    if template is None:
        return f"{key_hash(attempt.app)}/{key_hash(attempt.key)}", ""
    stream = stream_id(attempt.app, attempt.key)
    is_name = is_key_a_name(template, settings.stream_keys.get(stream))
    return stream_label(stream), stream if is_name else ""


class RefusalMemory:
    """Refusals that came after Publish.Start, kept for the next attempt.

    OBS and others show the reason of a refusal only before Publish.Start, and reconnect for ever
    when closed after it (docs/rtmp.md, Refusals): their next attempt must be refused at once.
    """

    def __init__(self) -> None:
        self._refusals: dict[StreamId, tuple[float, Refusal, str]] = {}

    def remember(
        self, stream: StreamId, refusal: Refusal, now: float, host: str | None = None
    ) -> None:
        """Keep it for a while, for whom publishes from `host`, or for all.

        What one sends is no reason to refuse another who has the stream's name too.
        """
        self._refusals.pop(stream, None)
        if len(self._refusals) >= MAX_REMEMBERED:
            del self._refusals[next(iter(self._refusals))]  # the oldest
        peer = "" if host is None else subscriber(host)
        self._refusals[stream] = now + REMEMBER_S, refusal, peer

    def forget(self, stream: StreamId) -> None:
        """Let it be tried again at once."""
        self._refusals.pop(stream, None)

    def recall(self, stream: StreamId, now: float, host: str = "") -> Refusal | None:
        """The refusal that still stands for this stream, published from `host`."""
        entry = self._refusals.get(stream)
        if entry is None:
            return None
        until, refusal, peer = entry
        if now >= until:
            del self._refusals[stream]
            return None
        return refusal if not peer or peer == subscriber(host) else None
