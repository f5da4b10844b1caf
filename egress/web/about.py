"""What the player's page is told of a stream: what there is, and what this viewer may have. Pure.

A viewer may be granted some renditions and not others: a signed URL may name them. So each is
judged, and nothing is used up by it: a URL for one use lets in once, where the stream is asked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from common.access.refusal import Refusal
from common.config.ladder import SOURCE, Template
from common.config.settings import Settings
from egress.access import Viewer, Wish, judge
from egress.streams.stream import Stream

# The ways, by the end of the addresses that serve them: those that can be asked for are served.
WAYS: Final[Mapping[str, str]] = {"whep": "/whep", "hls": "/index.m3u8", "flv": ".flv"}


def served_ways(paths: Iterable[str], *, has_webrtc: bool) -> list[str]:
    """Return the ways that some addresses serve, in the order in which the page tries them.

    `has_webrtc`: the child that serves WebRTC runs.
    """
    known = tuple(paths)
    served = (way for way, end in WAYS.items() if any(path.endswith(end) for path in known))
    return [way for way in served if way != "whep" or has_webrtc]


def granted(
    settings: Settings, wish: Wish, viewer: Viewer, stream: Stream | None = None
) -> tuple[str, ...] | Refusal:
    """Return the renditions that a viewer may have, or why it may have none."""
    template = _template(settings, wish, stream)
    first: Refusal | None = None
    found = []
    for name in (wish.rendition or SOURCE,) if template is None else template.rendition_names():
        judged = judge(settings, replace(wish, rendition=name), viewer, stream)
        if isinstance(judged, Refusal):
            first = first or judged
        elif stream is None or name == SOURCE or name in stream.transcoded:
            found.append(name)
    return first if first is not None and not found else tuple(found)


def about(
    settings: Settings,
    wish: Wish,
    names: Sequence[str],
    ways: Sequence[str],
    now_unix: float,
    stream: Stream | None = None,
) -> dict[str, Any]:
    """Return the document; `names` are the renditions that are granted."""
    template = _template(settings, wish, stream)
    sizes = {one.name: one for one in template.renditions} if template is not None else {}
    return {
        "ways": list(ways),
        "renditions": [
            {
                "name": name,
                "width": sizes[name].width if name in sizes else 0,
                "height": sizes[name].height if name in sizes else 0,
                "bitrate_bps": sizes[name].bitrate_bps if name in sizes else 0,
                # of the source it is not known here
                "codec": sizes[name].codec.value if name in sizes else "",
            }
            for name in names
        ],
        "now_ms": round(now_unix * 1000),
    }


def smallest(settings: Settings, wish: Wish) -> str:
    """Return the rendition that costs least to have sent here."""
    template = settings.template(wish.app)
    made = template.plain_renditions if template is not None else ()
    return min(made, key=lambda one: one.bitrate_bps).name if made else SOURCE


def _template(settings: Settings, wish: Wish, stream: Stream | None) -> Template | None:
    if stream is not None:
        return stream.template
    return settings.template(wish.app)
