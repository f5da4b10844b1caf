"""What crosses of a publisher at another host: asks and units, for tests of both ends."""

from common.access.credentials import Credentials
from common.ipc.identity import StreamId
from common.ipc.unit_messages import KEY, VIDEO, VIDEO_CONFIG, UnitItem
from common.link.publish_messages import LinkPublish, LinkTime

CAM = StreamId("live/cam")
WHO = Credentials("203.0.113.7", "key-1")


def asking(number: int = 1, time: LinkTime | None = None) -> LinkPublish:
    return LinkPublish(number, CAM, "203.0.113.7:5000", WHO, time=time)


def video(dts_ms: int, *, is_key: bool = False, came_s: float = 0.0) -> UnitItem:
    return UnitItem(VIDEO, "h264", dts_ms, 0, KEY if is_key else 0, came_s)


def config(kind: str = VIDEO_CONFIG) -> UnitItem:
    return UnitItem(kind, "h264" if kind == VIDEO_CONFIG else "aac")
