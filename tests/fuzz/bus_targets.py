"""Fuzzing targets: envelopes of the bus, and addresses."""

from contextlib import suppress

from common.errors import AddressError, EnvelopeError
from common.ipc import command_messages, control_messages, envelope, media_messages
from common.rtmp.address import connect_app, parse_play, parse_publish
from common.rtmp.client import split_url

# Imported for their messages, which register themselves.
REGISTERED = (command_messages, control_messages, media_messages)


def bus_envelope(data: bytes) -> None:
    """Any registered message, and the same bytes again once it was written."""
    try:
        value = envelope.decode(data)
    except EnvelopeError as error:
        problem = str(error)
    else:
        written = envelope.encode(value)
        assert envelope.encode(envelope.decode(written)) == written
        return
    assert len(problem) < 200


def addresses(data: bytes) -> None:
    """What a client says that it wants: app, tcUrl and name in a line each."""
    app, tc_url, name = [*data.decode("utf-8", "replace").split("\n", 2), "", ""][:3]
    connect_app(app)
    with suppress(ValueError):
        split_url(tc_url)
    for parse in (parse_publish, parse_play):
        try:
            found = parse(app, tc_url, name)
        except AddressError:
            continue
        again = parse(found.app, "", "/".join(filter(None, (found.key, found.rendition))))
        assert (again.app, again.key, again.rendition) == (found.app, found.key, found.rendition)
