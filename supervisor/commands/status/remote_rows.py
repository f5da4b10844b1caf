"""What status says of streams that are fetched from other servers. Pure."""

from dataclasses import asdict
from typing import Any

from common.access.authorise import is_key_secret
from common.ipc.identity import split_stream_id
from common.ipc.remote_status import RemoteState, RemoteStatus
from common.words import duration
from supervisor.commands.status.stream_selection import name_of
from supervisor.commands.terminal.layout import Column, Line, Row, Span, table
from supervisor.farm.farm import Farm

Json = dict[str, Any]

_STYLES = {RemoteState.RUNNING: "green", RemoteState.CONNECTING: "yellow"}


def remote_rows(farm: Farm) -> list[Json]:
    """Those that the children report, by stream."""
    beats = [child.heartbeat for child in farm.state.children.values()]
    found = [remote for beat in beats if beat is not None for remote in beat.remotes]
    added = {pull.stream_id for pull in farm.state.settings.pulls if pull.is_added}
    return [_row(farm, remote, remote.stream_id in added) for remote in sorted(found, key=_order)]


def _order(remote: RemoteStatus) -> tuple[str, str]:
    return remote.stream_id, remote.url


def _row(farm: Farm, remote: RemoteStatus, is_added: bool) -> Json:
    app, key = split_stream_id(remote.stream_id)
    facts = asdict(remote)
    del facts["stream_id"]
    return {
        "app": app,
        "key": key,
        "is_key_secret": is_key_secret(farm.state.settings, remote.stream_id),
        **facts,
        "state": remote.state.value,
        "is_added": is_added,
    }


def remote_lines(rows: list[Json], now_unix: float, width: int) -> list[Line]:
    """The table of them, for people; nothing where there are none."""
    if not rows:
        return []
    columns = (
        Column("stream"),
        Column("from"),
        Column("state"),
        Column("for", is_number=True),
        Column("connected", is_number=True),
        Column("last end", is_text=True),
    )
    lines = [
        Row(
            (
                name_of(row),
                row["url"],
                Span(row["state"], _STYLES.get(row["state"], "red")),
                duration(now_unix - row["since_unix"]),
                f"{row['connected']} of {row['attempts']}",
                row["reason"],
            )
        )
        for row in rows
    ]
    return [(), (Span("Pulled", "bold"),), *table(columns, lines, width)]
