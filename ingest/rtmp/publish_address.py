"""The address in an RTMP publish request, as `ingest.streams` asks for it. Pure."""

from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.stream_address import is_backup_wanted
from common.errors import AddressError
from common.rtmp.address import parse_publish
from common.rtmp.events import PublishRequested
from ingest.streams.admission import PublishAttempt


def attempt_of(request: PublishRequested) -> PublishAttempt | Refusal:
    """What the request asks for, or why its address cannot be served."""
    try:
        address = parse_publish(request.app, request.tc_url, request.name)
    except AddressError as error:
        return Refusal(RefusalReason.NOT_FOUND, str(error), cause=Cause.BAD_ADDRESS)
    query = address.query
    return PublishAttempt(
        request.request_id,
        address.app,
        address.key,
        query.get("key"),
        query.get("token"),
        query,
        is_backup=is_backup_wanted(query),
    )
