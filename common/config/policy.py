"""What of a template's policy can never be taken. Pure.

`common/config/load.py` makes faults of it: such a file would pass in silence, and not do what it
says.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from common.config.ladder import Pipeline
from common.config.settings import Settings
from common.errors import ConfigFault


def never_tried(policy: Sequence[Pipeline]) -> tuple[int, str] | None:
    """The first place that no search comes to, with why.

    `refuse` ends it, and so does `passthrough`, which takes no room. But `refuse` behind
    `passthrough` holds for streams that lose their device.
    """
    for index, (way, after) in enumerate(pairwise(policy), 1):
        if way is Pipeline.REFUSE or (way is Pipeline.PASSTHROUGH and after is not Pipeline.REFUSE):
            return index, f'is never tried: "{way.value}" stands before it'
    return None


def unserved(settings: Settings) -> Iterator[ConfigFault]:
    """Ladders that name only ways which the same settings leave out."""
    omitted: dict[Pipeline, str] = {}
    if settings.software.workers == 0:
        omitted[Pipeline.SOFTWARE] = "software.workers = 0"
    if not settings.devices.use_gpus:
        omitted[Pipeline.GPU_ONLY] = omitted[Pipeline.HYBRID] = "devices.use_gpus = false"
    for template in settings.templates:
        ways = [way for way in template.policy if way is not Pipeline.REFUSE]
        if template.renditions and ways and all(way in omitted for way in ways):
            why = ", ".join(dict.fromkeys(omitted[way] for way in ways))
            yield ConfigFault(
                f"templates.{template.name}.policy",
                f"none of its ways is left with {why}: every publisher would be refused",
            )
