"""What `tfarm replay` says, by what was sent and what the farm's status had."""

from typing import Any

from common.capture.capture_file import CaptureInfo
from supervisor.commands.replay.verdict import Sent, heading, sent_lines, stream_lines

INFO = CaptureInfo("live", "3fa2c1d0", "closed: no video", 1_700_000_000.0, encoder="FMLE/3.0")
STREAM: dict[str, Any] = {
    "is_live": True,
    "away_s": None,
    "state": "live",
    "reason": "least loaded",
    "degraded": "",
    "notices": [{"code": "late", "words": "a third of the pictures is late", "is_fault": True}],
    "dropped_by_renditions": 0,
    "crashes": 0,
    "cannot_move": "",
    "width": 640,
    "height": 360,
    "frames": 300,
    "fps": 29.97,
    "gop_ms": 2000,
    "audio": "",
    "source_clock": "its clock stands still",
    "dropped": {"video tag without a picture": 2},
    "device": "cpu:0",
    "frames_in": 299,
    "frames_decoded": 298,
    "decode_errors": 1,
    "dropped_by_worker": 0,
    "renditions": [{"name": "240p", "frames": 297, "fps": 30.0, "dropped": 0}],
    "omitted": [{"name": "720p", "reason": "larger than the source"}],
}


def test_the_heading_says_what_it_is_and_what_is_missing() -> None:
    (first, last) = heading("a.tfcap", INFO, "rtmp://host/live/x")
    assert first == (
        "a.tfcap: live/3fa2c1d0 of 2023-11-14 22:13:20 UTC, sent by FMLE/3.0; closed: no video"
    )
    assert last == "Publishing to rtmp://host/live/x; Ctrl-C ends it."
    poor = CaptureInfo("live", "3f", "asked for", headers_only=True, starts_late=True)
    lines = list(heading("a.tfcap", poor, "x"))
    assert len(lines) == 4
    assert "begins in the middle" in lines[1]
    assert "decoders will fail" in lines[2]


def sent(**values: Any) -> Sent:
    found = Sent(began_s=1.0, ended_s=5.0, media_s=8.0, **values)
    for type_id in (9, 9, 9, 8, 8, 18):
        found.count(type_id, 100, 0.01)
    return found


def test_what_was_sent_is_counted() -> None:
    (line,) = sent_lines(sent(), 2.0)
    assert line == (
        "Sent 3 video, 2 audio and 1 data messages, 600 bytes: 8.0 s of the capture in 4.0 s, "
        "at 2 times its speed"
    )


def test_how_it_ended_is_said() -> None:
    assert list(sent_lines(Sent(refused="NetStream.Failed: full"), 1)) == [
        "Refused: NetStream.Failed: full"
    ]
    assert list(sent_lines(sent(fault="the server closed"), 1))[-1] == "Cut off: the server closed"
    assert list(sent_lines(sent(is_interrupted=True), 1))[-1] == "Interrupted."
    slow = sent()
    slow.count(9, 1, 1.5)
    assert "waited for 1.50 s" in list(sent_lines(slow, 1))[-1]


def test_the_farm_s_words_stand_once() -> None:
    words = ["keyframes are 8 s apart", "its clock stands still"]
    lines = list(stream_lines(STREAM, words))
    assert lines == [
        "Ingest: 640x360, 300 pictures, 30.0 fps, GOP 2.0 s, sound: none",
        "  its clock stands still",
        "  keyframes are 8 s apart",
        "  source: a third of the pictures is late",
        "  dropped: 2 (video tag without a picture)",
        "Worker: cpu:0, 299 pictures in, 298 decoded, 1 errors, 0 dropped",
        "  240p: 297 pictures, 30.0 fps, 0 dropped",
        "  720p: omitted, larger than the source",
    ]
    assert "No status of it" in next(stream_lines(None, []))
