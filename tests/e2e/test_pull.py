"""A real farm fetches a stream by HLS, and tries again where nobody is."""

import functools
import http.server
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.api_process import request
from tests.kit.clients import frames, record
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=12.0)
TOKEN = "a-token-of-some-length"
API = f'[api]\nlisten = "127.0.0.1:0"\ntokens = ["{TOKEN}"]\npull_urls = ["http://127.0.0.1"]\n'
API += 'push_urls = ["rtmp://127.0.0.1:1"]\n'
CONFIG = DEFAULT_CONFIG.replace("[api]\nenabled = false\n", API)
BEARER = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
PULLS, PUSHES = "/api/v1/pulls", "/api/v1/pushes"
OUT = {"app": "live", "rendition": "source", "url": "rtmp://127.0.0.1:1/live/s3cr3t"}
TABLE = '\n[[pull]]\napp = "live"\nkey = "{key}"\nurl = "{url}"\n'


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def playlist(clip: MakeClip, tmp_path: Path) -> Iterator[str]:
    """The address of a playlist that has begun and does not go on."""
    options = ["-c", "copy", "-f", "hls", "-hls_time", "2", "-hls_list_size", "0"]
    to = ["-hls_flags", "omit_endlist", str(tmp_path / "index.m3u8")]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(clip(SPEC)), *options, *to]
    subprocess.run(command, check=True, timeout=60)
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://user:s3cr3t@127.0.0.1:{server.server_port}/index.m3u8?token=s3cr3t"
        finally:
            server.shutdown()
            thread.join(10)


def test_what_is_asked_for_is_fetched_and_what_is_not_there_is_tried_again(
    playlist: str,
) -> None:
    nobody = TABLE.format(key="nobody", url="rtmp://u:s3cr3t@127.0.0.1:1/live/s3cr3t")
    with Farm(CONFIG + nobody) as farm:
        (address,) = farm.status()["listen"]["http"]
        port = int(address.rpartition(":")[2])
        door_url = json.dumps({"app": "live", "key": "door", "url": playlist}).encode()
        added = request(port, "POST", PULLS, body=door_url, headers=BEARER)
        assert added.status == 200, added.document
        farm.wait_stream("door", timeout=20)
        recording = record(farm.url("door", "240p"), enough=frames(30))
        assert not recording.decode_error
        assert recording.number_steps(SPEC.frames) == {1}, "nothing is missing, nothing is twice"
        until(lambda: len(farm.status()["pulls"]) == 2, what="both are shown")
        door, there = farm.status()["pulls"]
        assert (door["key"], door["state"], door["connected"]) == ("door", "running", 1)
        assert (there["key"], there["connected"]) == ("nobody", 0)
        assert (door["is_added"], there["is_added"]) == (True, False)
        assert there["reason"] == "no connection: Connection refused"
        assert "live/door" in farm.cli("status").stdout
        out = json.dumps(OUT).encode()
        pushed = request(port, "POST", PUSHES, body=out, headers=BEARER).document["push"]
        until(
            lambda: any(p["calls"] for p in farm.streams()["door"]["pushes"]), what="it is called"
        )
        (listed,) = request(port, "GET", PUSHES, headers=BEARER).document["pushes"]
        assert (listed["push"], listed["is_added"]) == (pushed, True)
        assert request(port, "DELETE", f"{PUSHES}/{pushed}", headers=BEARER).status == 200
        until(lambda: not farm.streams()["door"]["pushes"], what="it is not pushed any more")
        assert request(port, "DELETE", f"{PULLS}/live/door", headers=BEARER).status == 200
        until(lambda: len(farm.status()["pulls"]) == 1, what="it is not fetched any more")
        assert "s3cr3t" not in farm.log() + str(farm.status())
