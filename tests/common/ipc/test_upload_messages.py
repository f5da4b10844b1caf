"""common/ipc/upload_messages.py: how far copies of recordings are, for the supervisor."""

from common.ipc.envelope import decode, encode
from common.ipc.upload_messages import UploadReport, UploadState, UploadStatus


def test_a_report_crosses_whole() -> None:
    status = UploadStatus("live", "https://h/b", UploadState.RETRYING, "no", 1.5, 3, 30, 9.0)
    assert decode(encode(UploadReport((status,)))) == UploadReport((status,))
