"""common/config/model_record.py: the table of a recording."""

from common.config.model_record import RecordTable
from common.config.recording import Recording


def test_a_table_is_a_recording() -> None:
    table = RecordTable.model_validate({"directory": "/r", "rotate_after": "15m", "keep": "1GiB"})
    assert table.recording() == Recording("/r", rotate_s=900.0, keep_bytes=1 << 30)
