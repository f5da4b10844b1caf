"""WHEP at an `rtc` process of its own; the test is its supervisor, its ingest and its `web`."""

import socket
import threading

import pytest

from common.config.settings import Settings
from common.ipc.control_messages import Endpoint, StreamWanted, Topology
from common.ipc.endpoint import socket_path
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import ChildId
from common.ipc.whep_messages import WhepAnswer, WhepOffer
from tests.kit.egress import TEMPLATE, key_tag, rendition_open, stream_open, tags
from tests.kit.egress_process import INGEST, SUPERVISOR, EgressProcess
from tests.kit.http_viewer import video_header
from tests.kit.sdp import SMALL
from tests.kit.waiting import patient

pytestmark = pytest.mark.e2e

SETTINGS = Settings(templates=(TEMPLATE,))


class Asking(threading.Thread):
    """A viewer's request, which waits for its answer."""

    def __init__(self, rtc: EgressProcess) -> None:
        super().__init__()
        self.answer: WhepAnswer | None = None
        self._path = socket_path(rtc.endpoint.whep)
        address = "192.0.2.1:5000"
        self._offer = WhepOffer("live", "cam1", "", {}, address, SMALL, "127.0.0.1")
        self.start()

    def run(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
            link.settimeout(patient(15))
            link.connect(self._path)
            link.send(encode(self._offer))
            self.answer, _ = decode_frames([link.recv(65536)])

    def answered(self) -> WhepAnswer:
        self.join(patient(15))
        assert self.answer is not None
        return self.answer


def test_who_names_no_rendition_is_sent_one_that_the_stream_has() -> None:
    """The first viewer of a stream: all that is known is the template, with more than it has."""
    with EgressProcess(SETTINGS, "--listen", "127.0.0.1:0", module="egress.rtc") as rtc:
        rtc.send(Topology(tuple(Endpoint(child, SUPERVISOR) for child in (INGEST, ChildId("web")))))
        asking = Asking(rtc)
        assert rtc.receive(StreamWanted).renditions == ("360p",)
        rtc.push(stream_open(renditions=("720p",)))
        rtc.push(*rendition_open("720p", header=video_header()))
        rtc.push(*tags(0, key_tag(0), rendition="720p"))
        answer = asking.answered()
        assert answer.status == 201, answer
