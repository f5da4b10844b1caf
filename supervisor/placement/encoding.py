"""What a device encodes, as its worker announces it, and what templates ask of it. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from common.config.ladder import Template
from common.media.units import VideoCodec


def codecs_of(template: Template) -> tuple[VideoCodec, ...]:
    """The codecs of a template's renditions."""
    return tuple(dict.fromkeys(one.codec for one in template.renditions))


def codec_of(template: Template, rendition: str) -> str:
    """The codec of a rendition; "" for the source, whose codec is the stream's."""
    return next((one.codec.value for one in template.renditions if one.name == rendition), "")


def why_not_encoded(announced: Sequence[VideoCodec], asked: Iterable[VideoCodec]) -> str:
    """Why a device cannot make renditions of some codecs, in words; "": it can.

    A device that announces nothing makes all of them.
    """
    missing = dict.fromkeys(one.label for one in asked if announced and one not in announced)
    return f"it encodes no {' and no '.join(missing)}" if missing else ""


def not_encoded(
    templates: Iterable[Template], announced: Sequence[VideoCodec]
) -> Iterator[tuple[str, VideoCodec]]:
    """The keys of renditions that a device does not make, with their codecs."""
    for template in templates:
        for index, rendition in enumerate(template.renditions):
            if announced and rendition.codec not in announced:
                key = f"templates.{template.name}.renditions[{index}].codec"
                yield key, rendition.codec
