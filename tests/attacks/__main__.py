"""`python -m tests.attacks [--only NAME …] [--write]`: attacks running farms, one each.

Prints a table; `--write` puts it into docs/reliability.md; with `--only` these rows alone, and the
others stay as they are. Exit code 1 when an attack did more harm than its limit allows. Each attack
is a function of a module beside this one that gives its row; `stage.py` has what they share.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial

from tests.attacks import local, rtmp, sources, srt, tls, web, webrtc, whip
from tests.attacks.stage import Result
from tests.faults.scene import log_everything
from tests.kit.measured_table import MeasuredTable, holds, with_note

ATTACKS: Mapping[str, Callable[[], Result]] = {
    "nulls_1": partial(rtmp.nulls, 1),
    "nulls_50": partial(rtmp.nulls, 50),
    "known_1": partial(rtmp.known_command_nulls, 1),
    "known_50": partial(rtmp.known_command_nulls, 50),
    "chunk_1": partial(rtmp.chunk_size_one, 1),
    "chunk_50": partial(rtmp.chunk_size_one, 50),
    "play_1": partial(rtmp.play_flood, 1),
    "play_50": partial(rtmp.play_flood, 50),
    "forged_urls": rtmp.forged_urls,
    "stalled_players": rtmp.stalled_players,
    "huge_refused": sources.huge_refused,
    "huge_allowed": sources.huge_allowed,
    "idle_handovers": local.idle_handovers,
    "tls_100": tls.handshakes,
    "web_reloads": web.reloads_and_tricks,
    "webrtc_stun": webrtc.stun_flood,
    "webrtc_offers": webrtc.offers,
    "webrtc_dtls": webrtc.half_handshakes,
    "webrtc_rtcp": webrtc.reports,
    "srt_handshakes": srt.handshakes,
    "srt_callers": srt.callers,
    "srt_streams": srt.streams,
    "whip_stun": whip.stun_flood,
    "whip_silent": whip.silent_sessions,
}

HEADINGS = (
    "attack",
    "largest gap before",
    "largest gap",
    "pictures lost before",
    "pictures lost",
    "slowest newcomer",
    "attacker",
    "farm's CPU",
    "limit",
    "holds",
)


def cells(row: Result) -> tuple[str, ...]:
    return (
        row.attack,
        f"{row.gap_before_s * 1000:.0f} ms",
        f"{row.gap_s * 1000:.0f} ms",
        str(row.lost_before),
        str(row.lost),
        f"{row.newcomer_s:.2f} s",
        row.attacker,
        row.farm,
        with_note(row.limit, row.note),
        holds(row.ok),
    )


TABLE = MeasuredTable("attacks", HEADINGS, cells, lambda name, note: Result(name, note=note))

if __name__ == "__main__":
    sys.exit(TABLE.main(ATTACKS, log_everything))
