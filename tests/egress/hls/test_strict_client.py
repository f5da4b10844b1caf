"""tests/kit/hls_client.py likes a server as it should be, and finds each rule that is broken."""

import re
from collections.abc import Callable

import pytest

from tests.kit.hls_client import Request, Response, StrictClient, What
from tests.kit.hls_playlist import Broken, read_media, read_multivariant
from tests.kit.ideal_hls import Change, IdealServer, watch

LATE_S = 0.03  # a step of virtual time, and some
END_S = 7.4


def watched(change: Change = lambda url, response: response, *, window: int = 8) -> StrictClient:
    """A client that has watched a server whose answers are changed on their way."""
    server = IdealServer(change, window=window)
    client = StrictClient("/index.m3u8", slack_s=LATE_S)
    watch(client, server.answer, END_S)
    for probe in client.probes(END_S):
        found = server.answer(probe.url, END_S)
        if found is not None:
            client.take(probe, found, END_S)
    return client


@pytest.mark.parametrize("window", [7, 8, 15])
def test_it_likes_a_server_as_it_should_be(window: int) -> None:
    client = watched(window=window)
    assert len(client.renditions) == 3
    for one in client.renditions.values():
        assert one.playlist is not None
        assert one.playlist.last >= (15, 0)
        assert not one.bodies, "all media have found their place"
        assert sum(found.whole is not None for found in one.found.values()) == 15
        assert all(len(found.parts) >= 4 for number, found in one.found.items() if number < 15)


def test_it_reads_what_it_has_been_asked_to_skip() -> None:
    asked: list[int] = []

    def look(url: str, response: Response) -> Response:
        asked.extend(int(one) for one in re.findall(rb"SKIPPED-SEGMENTS=(\d+)", response.body))
        return response

    watched(look, window=15)
    assert max(asked) >= 2


def in_playlists(pattern: str, by: str, *, behind_s: float = 0.0, name: str = "") -> Change:
    """Change what media playlists say, from a media sequence number on."""

    def change(url: str, response: Response) -> Response:
        if "/index.m3u8" not in url[1:] or name not in url or response.status != 200:
            return response
        text = response.body.decode()
        numbers = [int(one) for one in re.findall(r"(\d+)\.m4s", text)]
        if max(numbers, default=0) < behind_s:
            return response
        return response._replace(body=re.sub(pattern, by, text, flags=re.MULTILINE).encode())

    return change


def in_multivariant(pattern: str, by: str) -> Change:
    def change(url: str, response: Response) -> Response:
        if url != "/index.m3u8":
            return response
        return response._replace(body=re.sub(pattern, by, response.body.decode()).encode())

    return change


LATER = 6  # a segment's number: what follows is changed behind it

ONE_PLAYLIST = [
    # pattern, what stands there instead, section
    (r"^#EXTM3U\n", "", "4.4.1.1"),
    (r"^#EXTM3U", "\ufeff#EXTM3U", "4.1"),
    (r"^#EXTINF:(.*)$", "#EXTINF:\\1\x07", "4.1"),
    (r"^(\d+\.m4s)$", r" \1", "4.1"),
    (r"URI=\"init.mp4\"", "URI=init.mp4 ", "4.1"),
    (r"URI=\"init.mp4\"", "URI=init.mp4", "4.2"),
    (r"URI=\"init.mp4\"", 'URI="init.mp4",URI="b"', "4.2"),
    (r"URI=\"init.mp4\"", 'URI="init.mp4",', "4.2"),
    (r"INDEPENDENT=YES", "INDEPENDENT=NO", "4.2"),
    (r"DURATION=0.12000,", "DURATION=.12,", "4.2"),
    (r"^#EXT-X-VERSION:\d", "#EXT-X-VERSION:3", "8"),
    (r"^#EXT-X-VERSION:\d\n", "", "8"),
    (r"^(#EXT-X-TARGETDURATION:1)$", r"\1\n\1", "4.4.3"),
    (r"^(#EXT-X-INDEPENDENT-SEGMENTS)$", r"\1\n\1", "4.4.2"),
    (r"^(#EXT-X-TARGETDURATION:1)$", r"\1\n#EXT-X-MEDIA:TYPE=AUDIO", "4.4.6"),
    (r"^#EXT-X-TARGETDURATION:1\n", "", "4.4.3.1"),
    (r"^#EXT-X-TARGETDURATION:1$", "#EXT-X-TARGETDURATION:0", "4.4.3.1"),
    (r"^#EXTINF:0.48000,", "#EXTINF:1.50000,", "4.4.3.1"),
    (r"^(#EXT-X-MEDIA-SEQUENCE:\d+)\n((?:.*\n)*?\d+\.m4s\n)", r"\2\1\n", "4.4.3.2"),
    (r"^(#EXT-X-MAP.*)$", r"#EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n\1", "4.4.3.3"),
    (r"^#EXT-X-PART-INF.*\n", "", "4.4.3.7"),
    (r"PART-TARGET=[\d.]+", "OTHER=1", "4.4.3.7"),
    (r"CAN-SKIP-UNTIL=6.0", "CAN-SKIP-UNTIL=5.9", "4.4.3.8"),
    (r"CAN-SKIP-UNTIL=6.0", "CAN-SKIP-DATERANGES=YES", "4.4.3.8"),
    (r"CAN-SKIP-UNTIL=6.0", "HOLD-BACK=2.9", "4.4.3.8"),
    (r"PART-HOLD-BACK=0.4,", "", "4.4.3.8"),
    (r"PART-HOLD-BACK=0.4", "PART-HOLD-BACK=0.2", "4.4.3.8"),
    (r"^#EXTINF:0.48000,\n", "", "4.4.4.1"),
    (r"^#EXTINF:0.48000,", "#EXTINF:0.48000", "4.4.4.1"),
    (r"^#EXT-X-MAP.*\n", "", "3.1.1"),
    (r"^#EXT-X-MAP.*$", "#EXT-X-MAP:BYTERANGE=1", "4.4.4.5"),
    (r"^(#EXT-X-PROGRAM-DATE-TIME:.*)\+00:00$", r"\1", "4.4.4.6"),
    (r"^#EXT-X-PROGRAM-DATE-TIME.*\n", "", "B.1"),
    (r"^(#EXT-X-PROGRAM-DATE-TIME.*\n)(#EXT-X-PART:.*\n)", r"\2\1", "4.4.4.9"),
    (r"PART-TARGET=0.12000", "PART-TARGET=0.11900", "4.4.4.9"),
    (r"PART-TARGET=0.12000", "PART-TARGET=0.14500", "4.4.4.9"),
    (r"(#EXT-X-PART:DURATION=0.12000,)", r"#EXT-X-PART:", "4.4.4.9"),
    (r"^#EXTINF:0.48000,", "#EXTINF:0.49000,", "3.2"),
    (r"TYPE=PART,", "", "4.4.5.3"),
    (r"(URI=\"\.\./sound)", r'URI="http://host/sound', "4.4.5.4"),
    (r"^#EXT-X-RENDITION-REPORT.*sound.*\n", "", "B.1"),
    (r"^#EXT-X-PRELOAD-HINT.*\n", "", "B.1"),
    (r"CAN-BLOCK-RELOAD=YES,", "", "B.1"),
    (r"^(#EXT-X-PRELOAD-HINT.*)$", r"\1\n#EXT-X-ENDLIST", "4.4.5.3"),
    (r"^#EXT-X-SKIP.*$", "#EXT-X-SKIP:OTHER=1", "4.4.5.2"),
    (r"^(#EXT-X-SKIP.*)$", r"\1\n\1", "4.4.5"),
    (r"^#EXT-X-SKIP.*$", "#EXT-X-SKIP:SKIPPED-SEGMENTS=1", "6.2.5.1"),
    (r"^(#EXT-X-TARGETDURATION:1)$", r"\1\n#EXT-X-PLAYLIST-TYPE:EVENT", "6.2.2"),
]


@pytest.mark.parametrize(("pattern", "by", "section"), ONE_PLAYLIST)
def test_what_one_playlist_must_not_say_is_found(pattern: str, by: str, section: str) -> None:
    with pytest.raises(Broken) as found:
        watched(in_playlists(pattern, by, name="low"))
    assert found.value.section == section, found.value


OVER_TIME = [
    ("the target changes", r"^#EXT-X-TARGETDURATION:1$", "#EXT-X-TARGETDURATION:2", "4.4.3.8"),
    ("the part target changes", r"PART-TARGET=0.12000", "PART-TARGET=0.12500", "6.2.1"),
    ("control changes", r"PART-HOLD-BACK=0.4", "PART-HOLD-BACK=0.5", "6.2.1"),
    ("numbers go back", r"(MEDIA-SEQUENCE:)\d+", r"\g<1>0", "6.2.1"),
    ("numbers do not grow", r"(MEDIA-SEQUENCE:)\d+", r"\g<1>1", "6.2.1"),
    ("a segment is another", r"^4\.m4s$", "44.m4s", "6.2.1"),
    ("a segment is longer", r"^#EXTINF:0.48000,(\n4.m4s)$", r"#EXTINF:0.48100,\1", "6.2.1"),
    ("a part is another", r"\"4\.1\.m4s\"", '"4.9.m4s"', "6.2.1"),
    ("a date is another", r"(TIME:.*01\.)920", r"\g<1>921", "6.2.1"),
    ("dates jump", r"(TIME:.*)03\.360", r"\g<1>03.660", "6.2.1"),
    ("a map is another", r"init.mp4", "init.mp4?b", "6.2.1"),
    ("a discontinuity comes late", r"^(#EXT-X-PROG.*01.920)", r"#EXT-X-DISCONTINUITY\n\1", "6.2.2"),
    ("parts leave out of turn", r"^#EXT-X-PART:.*\"5\.\d\..*\n", "", "6.2.2"),
    ("the hint was another", r"(HINT.*URI=\")\d+\.\d", r"\g<1>3.1", "4.4.5.3"),
    ("reports are old", r"LAST-MSN=\d+", "LAST-MSN=3", "4.4.5.4"),
    ("too little is left", r"(?s)(MEDIA-SEQUENCE:)\d+(.*?)#EXT-X-PROG.*(?=^#EXT-X-PROG.*?03.8)",
     r"\g<1>8\2", "6.2.2"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "by", "section"),
    [pytest.param(*row[1:], id=row[0]) for row in OVER_TIME],
)
def test_what_playlists_must_not_become_is_found(pattern: str, by: str, section: str) -> None:
    with pytest.raises(Broken) as found:
        watched(in_playlists(pattern, by, behind_s=LATER, name="low"))
    assert found.value.section == section, found.value


BESIDE_OTHERS = [
    ("targets", r"^#EXT-X-TARGETDURATION:1$", "#EXT-X-TARGETDURATION:2", "4.4.3.8"),
    ("control", r"PART-HOLD-BACK=0.4", "PART-HOLD-BACK=0.5", "6.2.4"),
    ("dates", r"(TIME:2026)-11-30T12:00:", r"\1-11-30T12:01:", "6.2.4"),
    ("discontinuities", r"^(#EXT-X-PART-INF.*)$", r"\1\n#EXT-X-DISCONTINUITY-SEQUENCE:3", "6.2.4"),
]


@pytest.mark.parametrize(
    ("pattern", "by", "section"),
    [pytest.param(*row[1:], id=row[0]) for row in BESIDE_OTHERS],
)
def test_what_renditions_must_share_is_found(pattern: str, by: str, section: str) -> None:
    with pytest.raises(Broken) as found:
        watched(in_playlists(pattern, by, name="high"))
    assert found.value.section == section, found.value


MULTIVARIANT = [
    (r"BANDWIDTH=\d+,", "", "4.4.6.2"),
    (r'AUDIO="sound"', 'AUDIO="other"', "4.4.6.2"),
    (r"low/index.m3u8\n", "", "4.4.6.2"),
    (r"high/index.m3u8\n", "", "4.4.6.2"),
    (r"(?s)#EXT-X-STREAM.*", "", "4.4.6"),
    (r"(?s)#EXT-X-STREAM.*", "low/index.m3u8\n", "4.4.6.2"),
    (r'NAME="sound",', "", "4.4.6.1"),
    (r"AUTOSELECT=YES", "AUTOSELECT=NO", "4.4.6.1"),
    (r"(#EXT-X-MEDIA.*\n)", r"\1\1", "4.4.6.1.1"),
    (r'(#EXT-X-MEDIA.*NAME=")(.*\n)', r"\1\2\1b\2", "4.4.6.1.1"),
    (r"(#EXT-X-MEDIA.*\n)", r"\1#EXT-X-TARGETDURATION:1\n", "4.4.3"),
    (r"mp4a.40.2", "mp4a.40.5", "6.2.4"),
    (r"avc1\.[0-9a-f]+", "avc1.640028", "6.2.4"),
    (r"RESOLUTION=192x108", "RESOLUTION=192", "4.2"),
]


@pytest.mark.parametrize(("pattern", "by", "section"), MULTIVARIANT)
def test_what_a_multivariant_playlist_must_not_say_is_found(
    pattern: str, by: str, section: str
) -> None:
    with pytest.raises(Broken) as found:
        watched(in_multivariant(pattern, by))
    assert found.value.section == section, found.value


def status(code: int) -> Callable[[Response], Response]:
    return lambda response: response._replace(status=code)


def patched(response: Response, kind: bytes, at: int, size: int, change: int) -> Response:
    """A field changed in all boxes of a kind: so many bytes behind the name, by so much."""
    body = bytearray(response.body)
    for found in re.finditer(kind, response.body):
        begin = found.end() + at
        value = int.from_bytes(body[begin : begin + size], "big") + change
        body[begin : begin + size] = value.to_bytes(size, "big")
    return response._replace(body=bytes(body))


def without_key(response: Response) -> Response:
    """The first sample depends on others: its flags."""
    return patched(response, b"trun", 20, 4, 0x01010000 - 0x02000000)


def later(response: Response) -> Response:
    """Samples are decoded 0.1 s later."""
    return patched(response, b"tfdt", 4, 8, 9_000)


def longer(response: Response) -> Response:
    """The first sample lasts longer."""
    return patched(response, b"trun", 12, 4, 900)


def of_track_2(response: Response) -> Response:
    return patched(response, b"tfhd", 4, 4, 1)


def body_of(body: bytes) -> Callable[[Response], Response]:
    return lambda response: response._replace(body=body)


MEDIA = [
    ("a listed part is missing", r"low/5\.2\.m4s", status(500), "6.2.6"),
    ("a segment is missing", r"low/5\.m4s", status(404), "6.2.1"),
    ("a hint was refused, and came", r"low/5\.2\.m4s", status(404), "6.2.6"),
    ("it is no MP4", r"low/5\.2\.m4s", body_of(b"nothing"), "3.1.1"),
    ("it has no samples", r"low/5\.2\.m4s", body_of(b""), "3.1.1"),
    ("the header is none", r"low/init", body_of(b"\0\0\0\x08ftyp"), "3.1.1"),
    ("a part is of other tracks", r"low/5\.2\.m4s", of_track_2, "4.4.4.3"),
    ("a part has a gap before it", r"low/5\.2\.m4s", later, "4.4.4.3"),
    ("a part is longer", r"low/5\.2\.m4s", longer, "4.4.4.9"),
    ("an independent part is none", r"low/5\.0\.m4s", without_key, "4.4.4.9"),
    ("a segment begins with no key", r"low/5\.m4s", without_key, "4.4.2.1"),
    ("a segment has other samples", r"low/5\.m4s",
     lambda one: one._replace(body=one.body[:-1] + b"\x77"), "3.2"),
    ("all of a rendition is later", r"high/\d+\.(\d+\.)?m4s", later, "6.2.4"),
    ("playlists are of no type", r"low/index", lambda one: one._replace(headers={}), "4"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "change", "section"), [pytest.param(*row[1:], id=row[0]) for row in MEDIA]
)
def test_media_that_are_not_what_is_told_are_found(
    path: str, change: Callable[[Response], Response], section: str
) -> None:
    with pytest.raises(Broken) as found:
        watched(lambda url, response: change(response) if re.search(path, url) else response)
    assert found.value.section == section, found.value


ANSWERS = [
    ("a reload that does not block", r"low/.*_HLS_msn=13&_HLS_part=1", "6.37", "6.2.5.2"),
    ("no 400 without a segment", r"index.m3u8\?_HLS_part", "6.4", "6.2.5.2"),
    ("no 400 for what is far ahead", r"_HLS_msn=1\d\d", "6.4", "6.2.5.2"),
]


@pytest.mark.parametrize(
    ("path", "at", "section"), [pytest.param(*row[1:], id=row[0]) for row in ANSWERS]
)
def test_answers_that_directives_must_not_get_are_found(path: str, at: str, section: str) -> None:
    ideal = IdealServer()

    def early(url: str, response: Response) -> Response:
        if not re.search(path, url):
            return response
        found = ideal.answer(url.partition("?")[0], float(at))
        assert found is not None
        return found

    with pytest.raises(Broken) as found:
        watched(early)
    assert found.value.section == section, found.value


@pytest.mark.parametrize(
    ("path", "section"),
    [
        (r"low/4\.0\.m4s", "6.2.2"),  # within three target durations of its removal
        (r"low/6\.m4s", "6.2.2"),  # within its availability duration
    ],
)
def test_what_leaves_the_playlist_is_there_for_a_while(path: str, section: str) -> None:
    asked = []

    def gone(url: str, response: Response) -> Response:
        if re.search(path, url):
            asked.append(url)
        return response._replace(status=404) if asked.count(url) > 1 else response

    with pytest.raises(Broken) as found:
        watched(gone)
    assert found.value.section == section


WITHOUT_PARTS = in_playlists(
    r"^#EXT-X-(PART-INF|PART|PRELOAD-HINT|RENDITION-REPORT):.*\n|PART-HOLD-BACK=0.4,", ""
)


def test_it_reads_segments_alone_where_there_are_no_parts() -> None:
    client = watched(WITHOUT_PARTS)
    for one in client.renditions.values():
        assert sum(found.whole is not None for found in one.found.values()) == 15
        assert not any(found.parts for found in one.found.values())


@pytest.mark.parametrize(
    ("change", "stop_s", "words"),
    [
        (lambda url, response: response, 0.3, "a part after"),
        (WITHOUT_PARTS, 1.5, "a segment after"),
    ],
)
def test_parts_and_segments_come_in_time(change: Change, stop_s: float, words: str) -> None:
    """A server whose media stop for a while."""
    server = IdealServer(change)
    client = StrictClient("/index.m3u8", slack_s=LATE_S)

    def late(url: str, now: float) -> Response | None:
        return server.answer(url, now if now < 3 else max(3.0, now - stop_s))

    with pytest.raises(Broken, match=words) as found:
        watch(client, late, END_S)
    assert found.value.section == "6.2.1"


def test_a_blocked_reload_may_end_by_503_and_is_sent_again() -> None:
    client = StrictClient("/index.m3u8", slack_s=LATE_S)
    watch(client, IdealServer().answer, 2.0)
    url = "/low/index.m3u8"
    request = Request(What.PLAYLIST, f"{url}?_HLS_msn=4&_HLS_part=1", url, 4, 1)
    client.take(request, Response(503, {}, b""), 2.0)
    assert client.wanted() == [request]


def test_a_playlist_of_the_other_kind_is_none() -> None:
    server = IdealServer()
    multivariant, media = server.answer("/index.m3u8", 0), server.answer("/low/index.m3u8", 3)
    assert multivariant is not None
    assert media is not None
    with pytest.raises(Broken):
        read_media(multivariant.body)
    with pytest.raises(Broken):
        read_multivariant(media.body)
