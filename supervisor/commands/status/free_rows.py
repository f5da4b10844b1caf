"""How many more streams fit, as status, metrics and `tfarm fit` say it. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from common.config.ladder import Pipeline
from common.words import counted
from supervisor.farm.admission.free_streams import FreeStreams, free_streams
from supervisor.farm.farm import Farm
from supervisor.placement.capacity import kind_name, read_kind, typical_source

Json = dict[str, Any]

SHOWN_APPS: Final = 5

_CODECS: Final = {"h264": "avc1", "h265": "hvc1", "av1": "av01"}  # to RFC 6381's names
_WHERE: Final = {
    Pipeline.GPU_ONLY: "by GPUs alone",
    Pipeline.HYBRID: "by GPUs with the host's cores",
    Pipeline.SOFTWARE: "by the host's cores",
}


def free_row(found: FreeStreams) -> Json:
    """One app's entry of the status document."""
    return {
        "source": kind_name(found.source),
        "count": found.count,
        "is_more": found.is_more,
        "is_passed_through": found.is_passed_through,
        "by_pipeline": {pipeline.value: count for pipeline, count in found.by_pipeline.items()},
        "ends_first": found.ends_first,
        "why": found.why,
    }


def free_rows(free: Mapping[str, FreeStreams]) -> dict[str, Json]:
    """By app."""
    return {app: free_row(found) for app, found in free.items()}


def free_words(found: FreeStreams) -> str:
    """What `tfarm fit` prints of one app."""
    kind = kind_name(found.source)
    if found.is_more:
        return f"room for more than {found.count} more streams of {kind}"
    room = f"room for {counted(found.count, 'more stream')} of {kind}"
    if len(found.by_pipeline) > 1:
        parts = [f"{count} {_WHERE[pipeline]}" for pipeline, count in found.by_pipeline.items()]
        room += f" ({', '.join(parts)})"
    then = "one more is passed through" if found.is_passed_through else "one more is refused"
    ends = f"what ends first: {found.ends_first}; " if found.ends_first else ""
    return f"{room}; {ends}{then}: {found.why}"


def fit(farm: Farm, app: str, source: str, codec: str, bits: int) -> dict[str, Json] | str:
    """What `tfarm fit` asks, by app; or why that cannot be said. `app` "": of every app."""
    state = farm.state
    templates = [each for each in state.settings.templates if app in ("", each.name)]
    if not templates:
        names = ", ".join(each.name for each in state.settings.templates)
        return f'there is no app "{app}" here; there are: {names}'
    if codec not in _CODECS or bits not in (8, 10):
        return f"no source is known of {codec} with {bits} bits"
    try:
        given = read_kind(source) if source else None
    except ValueError as error:
        return f"the source {error}"
    found: dict[str, Json] = {}
    for template in templates:
        kind = given or typical_source(template)
        if bits == 10:
            kind = replace(kind, bit_depth=10, bits_per_pixel=24)
        name = _CODECS[codec]
        free = free_streams(state, template, kind, codec=name, closed=farm.admission.closed)
        found[template.name] = {**free_row(free), "words": free_words(free)}
    return found


def free_line(free: Json) -> str:
    """How many more streams of its usual source each app takes, of the status document's rows."""
    return ", ".join(
        f"{row['count']}{' or more' if row['is_more'] else ''} more of {row['source']} in {app}"
        for app, row in list(free.items())[:SHOWN_APPS]
    )
