"""What a hook's answer means. Pure.

Yes is 204, or 200 with a JSON object whose `allow` is true; no is 401 or 403, or 200 with `allow`
false. Everything else is no answer: what becomes of who asks is then said by `on_error`. So a page
that another server gives at that address lets nobody in.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from common.config.key_values import KeyTexts, StreamKey, digest
from common.config.limits import StreamLimits
from common.ipc.hook_messages import HookVerdict
from common.words import printable

MAX_BODY_BYTES = 64 * 1024
MAX_WORDS_CHARS = 200
MAX_CACHE_S = 86_400.0
DENIED = "the server that decides this says no"
OK, NO_CONTENT = 200, 204
NO = (401, 403)
TOO_BIG = f"its answer has more than {MAX_BODY_BYTES} bytes"

LimitsOf = Callable[[Any, StreamLimits], StreamLimits]  # raises ValueError


@dataclass(frozen=True, slots=True)
class Answered:
    """A verdict, and for how long it is good for the same question; None: the app's `cache`."""

    verdict: HookVerdict
    cache_s: float | None = None


def no_answer(detail: str) -> Answered:
    """There is none, and why."""
    return Answered(HookVerdict(None, detail=printable(detail)[:MAX_WORDS_CHARS]), 0.0)


def answer_of(
    status: int, body: bytes, templates: Mapping[str, StreamLimits], app: str, limits_of: LimitsOf
) -> Answered:
    """Read an answer; `templates` are the limits of all apps, by name."""
    if status == NO_CONTENT:
        return Answered(HookVerdict(True))
    if status not in (OK, *NO):
        return no_answer(f"it answers HTTP {status}")
    document = _object(body)
    if status in NO:
        return Answered(HookVerdict(False, _words((document or {}).get("reason"))))
    if document is None:
        return no_answer("its answer is no JSON object")
    if not isinstance(document.get("allow"), bool):
        return no_answer('its answer has no "allow" that is true or false')
    try:
        cache_s = _cache(document.get("cache"))
        if not document["allow"]:
            return Answered(HookVerdict(False, _words(document.get("reason"))), cache_s)
        return Answered(_allowed(document, templates, app, limits_of), cache_s)
    except ValueError as error:
        return no_answer(f"its answer is wrong: {error}")


def _allowed(
    document: Mapping[str, Any],
    templates: Mapping[str, StreamLimits],
    app: str,
    limits_of: LimitsOf,
) -> HookVerdict:
    """Raises ValueError."""
    key = _named("stream", document, StreamKey().read) if document.get("stream") else ""
    template = _template(document.get("template"), templates)
    limits = None
    if document.get("limits") is not None:
        limits = limits_of(document["limits"], templates[template or app])
    keys: tuple[str, ...] = ()
    if document.get("play_keys"):
        keys = _named("play_keys", document, KeyTexts().read)
    owner = document.get("owner") or ""
    if not isinstance(owner, str):
        raise ValueError("owner must be a text")
    return HookVerdict(
        True,
        key=key,
        template=template,
        limits=limits,
        play_keys=tuple(map(digest, keys)),
        owner=hashlib.sha256(owner.encode()).hexdigest()[:16] if owner else "",
    )


def _named(name: str, document: Mapping[str, Any], read: Callable[[Any], Any]) -> Any:
    try:
        return read(document[name])
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def _template(name: Any, templates: Collection[str]) -> str:
    if name is None or name == "":
        return ""
    if not isinstance(name, str) or name not in templates:
        raise ValueError("template names none that is configured")
    return name


def _cache(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError("cache must be seconds")
    return min(float(value), MAX_CACHE_S)


def _words(reason: Any) -> str:
    """For the one who is refused."""
    text = printable(reason).replace("\n", " ").strip() if isinstance(reason, str) else ""
    return text[:MAX_WORDS_CHARS] or DENIED


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
