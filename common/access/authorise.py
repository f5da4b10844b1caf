"""Who may publish or play what: the table of an app's rules, applied to what a peer shows. Pure.

A rule is some ways (`common/config/access.py`), all of which must be fulfilled; one rule is enough.
Which rules an app has is said by `publish_rules` and `play_rules`; without those, each way that is
configured is a rule by itself, and where none is, everybody is let in.

Who is let in gets an *entry* by which it was: who comes later for the same stream may go on with it
if it was let in by the same entry (`common/access/credentials.py`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from common.access.keys import OWN, entry_of, play_digests, publish_entries
from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.signed_url import Direction, Grant, Request, TokenFault, check
from common.config.access import Rules, Signing, Way, effective_rules, is_open
from common.config.hooks import HookEvent
from common.config.ladder import Template
from common.config.settings import Settings
from common.config.stream_keys import StreamKeys

SIGNED = "signed"  # the entry of those whose URL is signed, by whichever key
HOOK = "hook"  # the entry of those whom a hook alone lets in


@dataclass(frozen=True, slots=True)
class Shown:
    """What a peer shows that asks for a stream."""

    host: str
    key: str | None = field(default=None, repr=False)  # None: none was given
    token: str | None = field(default=None, repr=False)  # likewise


@dataclass(frozen=True, slots=True)
class Admitted:
    """By what one is let in."""

    entry: str = ""
    grant: Grant | None = None  # of the URL's signature
    needs_hook: bool = False  # and if the app's hook says so

    def single_use(self, direction: Direction, stream: str, signing: Signing) -> tuple[str, float]:
        """The name of a single-use URL's use, and until when (Unix time) it is good.

        Without a name it may be used again.
        """
        grant = self.grant
        if grant is None or not grant.once:
            return "", 0.0
        until_unix = grant.expiry_unix + signing.clock_skew_s
        return f"{direction.value} {stream} {grant.payload}", until_unix


_Proof = Admitted | Refusal
_ENTRIES = {Way.OPEN: "", Way.SIGNED: SIGNED, Way.HOOK: HOOK}


class _Judge:
    """Looks at one way after the other, at each once, for one request."""

    def __init__(
        self, template: Template, own: StreamKeys | None, request: Request, shown: Shown, now: float
    ) -> None:
        self._template, self._own = template, own
        self._request, self._shown, self._now_unix = request, shown, now
        hook = Admitted(HOOK, needs_hook=True)
        self._proofs: dict[Way, _Proof] = {Way.OPEN: Admitted(), Way.HOOK: hook}

    def proof(self, way: Way) -> _Proof:
        """That a way is fulfilled, or why not."""
        if way not in self._proofs:
            self._proofs[way] = self._by_key() if way is Way.KEY else self._by_signature()
        return self._proofs[way]

    def is_tried(self, way: Way) -> bool:
        """Whether the peer shows something for it."""
        return bool(self._shown.key if way is Way.KEY else self._shown.token)

    def _by_key(self) -> _Proof:
        key = self._shown.key
        if self._request.direction is Direction.PLAY:
            digests = play_digests(self._template, self._own)
            if digests and entry_of({OWN: digests}, key or "") is not None:
                return Admitted(OWN)
            words = "the play key is wrong or missing (?key=...)"
            return _denied(words, Cause.WRONG_KEY if key else Cause.NO_KEY)
        entries = publish_entries(self._template, self._own)
        entry = entry_of(entries, key or "") if any(entries.values()) else None
        if entry is not None:
            return Admitted(entry)
        app = self._template.name
        if not any(entries.values()):
            words = f"{app} takes only streams that have a publish key, and this one has none"
            return _denied(words, Cause.NO_KEY)
        whose = "this stream" if self._own is not None and self._own.publish else app
        fault = "missing" if key is None else "wrong"
        cause = Cause.NO_KEY if key is None else Cause.WRONG_KEY
        return _denied(f"the publish key (?key=...) of {whose} is {fault}", cause)

    def _by_signature(self) -> _Proof:
        signing, token = self._template.signing, self._shown.token
        if not token:
            words = f"the URL is not signed: {self._template.name} asks for ?token=..."
            return _denied(words, Cause.NOT_SIGNED)
        secrets = dict(signing.keys)
        found = check(token, secrets, self._request, self._now_unix, signing.clock_skew_s)
        if isinstance(found, Grant):
            return Admitted(SIGNED, found)
        return _refused_token(found, self._request)


def authorise_publish(
    template: Template, own: StreamKeys | None, key: str, shown: Shown, now_unix: float
) -> Admitted | Refusal:
    """Let one publish the stream `key` of an app, or refuse it."""
    rules = publish_rules(template, own)
    request = Request(Direction.PUBLISH, template.name, key, "", shown.host)
    return _apply(rules, _Judge(template, own, request, shown, now_unix))


def authorise_play(
    template: Template,
    own: StreamKeys | None,
    key: str,
    rendition: str,
    shown: Shown,
    now_unix: float,
) -> Admitted | Refusal:
    """Let one play a rendition of the stream `key` of an app, or refuse it."""
    request = Request(Direction.PLAY, template.name, key, rendition, shown.host)
    return _apply(play_rules(template, own), _Judge(template, own, request, shown, now_unix))


def publish_rules(template: Template, own: StreamKeys | None = None) -> Rules:
    """The rules for publishers of a stream; of any stream without keys of its own: `own` None."""
    has_keys = bool(template.publish_keys or (own is not None and own.publish))
    return effective_rules(
        template.publish_rules,
        has_keys=has_keys or template.needs_stream_key,
        is_signed=bool(template.signing.keys),
        has_hook=template.hooks.takes(HookEvent.ON_PUBLISH),
    )


def play_rules(template: Template, own: StreamKeys | None = None) -> Rules:
    """The rules for players of a stream, likewise."""
    return effective_rules(
        template.play_rules,
        has_keys=bool(play_digests(template, own)),
        is_signed=bool(template.signing.keys),
        has_hook=template.hooks.takes(HookEvent.ON_PLAY),
    )


def is_key_secret(settings: Settings, stream_id: str) -> bool:
    """Whether who knows a stream's key may publish it: no other credential is asked for."""
    template = settings.template(stream_id.partition("/")[0])
    own = settings.stream_keys.get(stream_id)
    return template is None or not is_key_a_name(template, own)


def is_open_to_players(settings: Settings, stream_id: str) -> bool:
    """Whether everybody may play a stream who knows its name."""
    template = settings.template(stream_id.partition("/")[0])
    own = settings.stream_keys.get(stream_id)
    return template is not None and is_open(play_rules(template, own))


def publish_entry_names(template: Template, own: StreamKeys | None) -> Collection[str]:
    """The entries that let a publisher of a stream in today."""
    found: list[str] = []
    for rule in publish_rules(template, own):
        if Way.KEY in rule:
            keys = publish_entries(template, own)
            found += [name for name, digests in keys.items() if digests]
        else:
            found.append(_ENTRIES[rule[0]])
    return found


def is_key_a_name(template: Template, own: StreamKeys | None) -> bool:
    """Whether a stream key is no credential: who publishes has to show another one.

    What a hook takes for one is not known.
    """
    return all(Way.KEY in rule or Way.SIGNED in rule for rule in publish_rules(template, own))


def _apply(rules: Rules, judge: _Judge) -> Admitted | Refusal:
    missed: list[list[Way]] = []
    found: Admitted | None = None
    for rule in rules:
        proofs = [judge.proof(way) for way in rule]
        good = [proof for proof in proofs if isinstance(proof, Admitted)]
        if len(good) < len(rule):
            missed.append([way for way in rule if isinstance(judge.proof(way), Refusal)])
        elif not (joined := _joined(good)).needs_hook:
            return joined
        else:
            found = found or joined
    return found or _why_not(missed, judge)


def _joined(proofs: Sequence[Admitted]) -> Admitted:
    """All proofs of a rule: its entry is that of the first way: key, signature, hook."""
    grants = [proof.grant for proof in proofs if proof.grant is not None]
    needs_hook = any(proof.needs_hook for proof in proofs)
    return Admitted(proofs[0].entry, grants[0] if grants else None, needs_hook)


def _why_not(missed: Sequence[Sequence[Way]], judge: _Judge) -> Refusal:
    """What to say to one who fulfils no rule: first what is wrong with what it shows."""
    wanted = dict.fromkeys(way for ways in missed for way in ways)
    shown = [way for way in (Way.SIGNED, Way.KEY) if way in wanted and judge.is_tried(way)]
    fewest = min(missed, key=len)
    first = judge.proof(shown[0] if shown else fewest[0])
    assert isinstance(first, Refusal)
    if shown or len(missed) == 1:
        return first
    if {(way,) for way in wanted} == {tuple(ways) for ways in missed}:
        words = "a key (?key=...) or a signed URL (?token=...) is needed"
        return _denied(words, first.cause)
    return first


def _refused_token(fault: TokenFault, request: Request) -> Refusal:
    match fault:
        case TokenFault.UNREADABLE:
            words, cause = "the URL's token is cut off, or none", Cause.FORGED
        case TokenFault.UNKNOWN_KEY:
            words, cause = "the URL is signed with a key that is not known here", Cause.FORGED
        case TokenFault.OTHER_DIRECTION:
            verb = "publishing" if request.direction is Direction.PUBLISH else "playing"
            words, cause = f"the URL is not signed for {verb}", Cause.OTHER_SCOPE
        case TokenFault.EXPIRED:
            words, cause = "the URL has expired: get a new one", Cause.EXPIRED
        case TokenFault.OTHER_NETWORK:
            words, cause = f"the URL is not for the address {request.host}", Cause.OTHER_SCOPE
        case TokenFault.OTHER_RENDITION:
            words = f"the URL is not for the rendition {request.rendition}"
            cause = Cause.OTHER_SCOPE
        case TokenFault.FORGED:
            words = "the URL's signature is wrong: it is for another stream, or was changed"
            cause = Cause.FORGED
    return _denied(words, cause)


def used_before() -> Refusal:
    """The refusal of a single-use URL that was used."""
    return _denied("the URL is for one use, and was used: get a new one", Cause.USED)


def _denied(words: str, cause: Cause) -> Refusal:
    return Refusal(
        RefusalReason.DENIED,
        words,
        is_wrong_key=cause in (Cause.WRONG_KEY, Cause.FORGED),
        cause=cause,
    )
