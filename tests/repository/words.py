"""The words that this project once had for itself, and the field's words for the same things.

docs/glossary.md has those that are used. A word of the left column is found in identifiers: `ring`
in `ring_bytes` and `RingBytes`, never in `string`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PRIVATE_WORDS = {
    "lane": "thread, executor",
    "packs": "groups_small_encoders",
    "may_share": "groups_small_encoders",
    "rung": "rendition (RenditionFormat, RenditionEncoder)",
    "equipment": "SessionResources",
    "surroundings": "SessionContext",
    "session_links": "PipelineCallbacks",
    "staying": "inline encoding",
    "gathered": "batched events",
    "crowded": "saturated",
    "lazy": "batched",
    "promptly": "immediate",
    "bundle": "batch",
    "rides": "piggy-backed",
    "watched": "has players, demand, subscribed",
    "watches": "has players, demand, subscribed",
    "wants": "has players, demand, subscribed",
    "filler": "freeze frame",
    "stand_in": "freeze frame",
    "anchor": "clock reference",
    "ring": "GopBuffer",
    "rendition_log": "GopBuffer",
    "gop_cache": "GopBuffer",
    "parked": "queued",
    "format_known": "SourceFormatReport",
    "stream_kept": "GopTransfer",
    "held_elsewhere": "AddressUsage",
    "roster": "farm state",
    "moves": "migration",
    "relief": "degradation",
    "let_go": "release",
    "family": "children",
    "member": "child",
    "vigil": "watchdog",
    "condemn": "fail and restart",
    "condemned": "failed and restarted",
    "forgive": "reset",
    "dismiss": "remove",
    "suspect": "poison stream",
    "culprit": "cause",
    "standing": "quarantine state",
    "acquit": "clear",
    "acquitted": "cleared",
    "own_worker": "dedicated worker",
    "orphan": "ingest_lost",
    "orders": "actions",
    "session_check": "session audit",
    "stray": "orphan session",
    "forgotten": "missing session",
    "staffing": "worker counts",
    "child_plans": "launch specs",
    "holdings": "address usage",
    "core_streams": "host load",
    "met_cap": "encoder session limit",
    "tell": "report",
    "told": "reported",
    "heard": "on_…, received",
    "said": "received",
    "left_out": "omitted (ladder), dropped (frames)",
    "worker_side": "WorkerOutput",
    "egress_side": "EgressOutput",
    "outlet": "MediaSender",
    "inlet": "MediaListener",
}

# Words that mean something else outside these folders.
FARM_FOLDERS = ("common/access/", "supervisor/farm/", "supervisor/placement/")
PRIVATE_IN_THE_FARM = {"ask": "publish request", "silence": "missed heartbeats"}

# Where a word means something else: the identifiers as they stand, and the reason.
ALLOWED = {
    "an address family of sockets": {"family", "_NO_FAMILY"},
    "a member of an AMF0 object or of an envelope's array, as their specifications say": {
        "member",
        "members",
        "audio_members",
        "metadata_members",
        "_read_members",
        "_write_members",
    },
    "the position of msgpack's Unpacker": {"tell"},
    "a key of the configuration": {
        "filler",
        "orphan_timeout",
        "orphan_timeout_s",
        "_orphan_timeout_s",
    },
    "NAL units of type 12 (H.264, 7.4.1)": {"FILLER"},
    "a session of a worker that no stream has": {
        "OrphanSession",
        "_end_orphan",
        "orphan",
        "ORPHAN_BEATS",
        "ORPHAN_S",
    },
    "a clock that stands still": {"STANDING", "is_standing"},
    "PyAV's name of a method": {"encode_lazy"},
}


def _words(name: str) -> str:
    return f"_{re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '_', name).lower().strip('_')}_"


def identifiers(tree: ast.AST) -> Iterator[str]:
    """Every name that a module makes or uses."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name):
                yield name
            case ast.alias(asname=str(name)) | ast.keyword(arg=str(name)):
                yield name


def private_words(root: Path, module: str) -> dict[str, str]:
    """The identifiers of a module that hold such a word, with what to say instead."""
    allowed = set().union(*ALLOWED.values())
    private = dict(PRIVATE_WORDS)
    if module.startswith(FARM_FOLDERS):
        private |= PRIVATE_IN_THE_FARM
    found = {}
    for name in identifiers(ast.parse((root / module).read_text())):
        if name not in allowed:
            words = _words(name)
            for word, instead in private.items():
                if f"_{word}_" in words or f"_{word}s_" in words:
                    found[name] = f"{word}: say {instead}"
    return found
