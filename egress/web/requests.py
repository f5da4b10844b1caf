"""What a viewer's request asks for (IO: aiohttp): the parts of its path, checked, and its query."""

from aiohttp import web

from common.access.stream_address import problem_of, query_fields
from egress.access import Wish
from egress.web.answers import Refused


def wish_of(request: web.Request) -> Wish:
    """The stream and rendition of a path with `app`, `key` and perhaps `rendition`.

    Raises Refused for what can be the name of nothing.
    """
    found = request.match_info
    parts = [found["app"], found["key"]]
    if "rendition" in found:
        parts.append(found["rendition"])
    if problem := problem_of(parts):
        raise Refused(404, problem)
    # the query as it was sent: "+" is no space there
    query = query_fields(request.rel_url.raw_query_string)
    return Wish(parts[0], parts[1], found.get("rendition", ""), query)
