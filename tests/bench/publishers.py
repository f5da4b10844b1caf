"""Publishers a core: three hundred passthrough streams of 600 kbit/s on one ingest process.

Sent by a process of its own that shares one clip's bytes; CPU of ingest. Beside it nginx-rtmp,
taking in the same.
"""

import selectors
import socket
import statistics
import time
from collections.abc import Sequence

import psutil

from common.rtmp.client import ClientSession, Published, Refused
from tests.bench import footage, peers
from tests.bench.report import Bench, Figure
from tests.kit.clients import FlvTag
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm

STREAMS = 300
SECONDS = 10.0
CLIP = ClipSpec(seconds=SECONDS + 4, width=640, height=360, gop_frames=60, b_frames=0)
PASSTHROUGH = (
    '[listen]\nrtmp = "127.0.0.1:0"\n[devices]\nuse_gpus = false\n[software]\nworkers = 0\n'
    '[templates.live]\nhold = "0s"\npolicy = ["passthrough"]\nrenditions = []\n'
)


def publish_many(urls: Sequence[str], tags: Sequence[FlvTag], seconds: float) -> int:
    """All streams from one loop, each tag sent to all; gives how many tags were late by 0.5 s."""
    sessions: list[tuple[socket.socket, ClientSession]] = []
    for url in urls:
        session = ClientSession(url, "publish", 65536)
        address = session.address
        peer = socket.create_connection((address.host, address.port), 20)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session.start()
        peer.sendall(session.data_to_send())
        is_in = False
        while not is_in:
            data = peer.recv(65536)
            assert data, "closed"
            session.receive_data(data, time.monotonic())
            for event in session.events_received():
                assert not isinstance(event, Refused), event
                is_in = is_in or isinstance(event, Published)
            peer.sendall(session.data_to_send())
        sessions.append((peer, session))
    late = 0
    begin = time.monotonic()
    with selectors.DefaultSelector() as ready:
        for peer, session in sessions:
            ready.register(peer, selectors.EVENT_READ, session)
        for tag in tags:
            due = begin + tag.dts_ms / 1000
            if due > begin + seconds:
                break
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            late += wait < -0.5
            for peer, session in sessions:
                _send(session, tag)
                peer.sendall(session.data_to_send())
            for key, _ in ready.select(0):
                answer = key.fileobj.recv(65536)  # type: ignore[union-attr]  # a socket
                key.data.receive_data(answer, time.monotonic())
    for peer, _ in sessions:
        peer.close()
    return late


def _send(session: ClientSession, tag: FlvTag) -> None:
    match tag.type:
        case 8:
            session.send_audio(tag.dts_ms, tag.body)
        case 9:
            session.send_video(tag.dts_ms, tag.body)
        case _:
            session.send_metadata(tag.body, tag.dts_ms)


def load(
    urls: Sequence[str], tags: Sequence[FlvTag], processes: Sequence[psutil.Process]
) -> tuple[float, str]:
    """CPU seconds a second of these processes while all streams run; what is to be said of it."""
    with peers.pool(1) as pool:
        sent = pool.submit(publish_many, urls, tags, SECONDS + 3)
        deadline = time.monotonic() + 60
        while peers.cpu_seconds(processes) < 0.05 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(5)  # connecting is over
        before, began = peers.cpu_seconds(processes), time.monotonic()
        time.sleep(SECONDS - 5)
        cores = (peers.cpu_seconds(processes) - before) / (time.monotonic() - began)
        late = sent.result(120)
        return cores, "the load generator could not keep up" if late else ""


def run(bench: Bench) -> None:
    with footage.workspace() as folder:
        tags = footage.tags_of(footage.numbered(folder, CLIP))
        if not peers.has_nginx():
            bench.say("publishers: nginx with libnginx-mod-rtmp is not installed")
        ours, theirs, notes = [], [], set()
        for number in range(bench.runs):
            bench.say(f"publishers: run {number + 1} of {bench.runs}")
            with Farm(PASSTHROUGH, standbys=True) as farm:
                ingest = psutil.Process(farm.child("ingest")["pid"])
                urls = [farm.url(f"cam{n}") for n in range(STREAMS)]
                cores, note = load(urls, tags, [ingest])
                ours.append(cores)
                notes.add(note)
            if peers.has_nginx():
                beside = folder / f"nginx{number}"
                beside.mkdir()
                with peers.nginx_rtmp(beside, "application live { live on; }") as (port, process):
                    urls = [f"rtmp://127.0.0.1:{port}/live/cam{n}" for n in range(STREAMS)]
                    cores, note = load(urls, tags, [process, *process.children()])
                    theirs.append(cores)
                    notes.add(note)
        note = "; ".join(sorted(notes - {""}))
        title = f"{STREAMS} passthrough streams, ingest"
        value = statistics.median(ours)
        bench.add(Figure(title, value, "cores", 1.0, note=note))
        if theirs:
            peer = statistics.median(theirs)
            bench.add(Figure(f"{title}, beside it", value, "cores", None, "nginx-rtmp", peer))
