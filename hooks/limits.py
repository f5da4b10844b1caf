"""The limits in a hook's answer, which has them as the configuration file has. Pure.

What reads them takes memory, so it is imported with the first answer that has some.
"""

from dataclasses import replace
from typing import Any

from common.config.limits import StreamLimits


def limits_of(value: Any, limits: StreamLimits) -> StreamLimits:
    """A template's limits with those of an answer, for one stream.

    `max_players` is that of the answer alone: the template's is of all streams of its app
    together, and holds beside it.

    Raises:
        ValueError: they are none.
    """
    from pydantic import ValidationError

    from common.config.model_access import LimitsTable

    try:
        given = LimitsTable.model_validate(value).settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, ("limits", *first["loc"])))
        raise ValueError(f"{place}: {first['msg']}") from None
    if "publishers" in given:
        raise ValueError("limits.max_publishers is for an app, and this is one stream")
    return replace(limits, **{"players": 0, **given})
