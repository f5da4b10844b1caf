"""common/config/model_push.py: the table of a push."""

from common.config.model_push import PushTable
from common.config.pushes import PushRule


def test_a_table_is_a_rule() -> None:
    table = PushTable.model_validate({"url": "srt://h:9", "rendition": "720p"})
    assert table.rule() == PushRule("srt://h:9", "720p")
    assert PushTable.model_validate(
        {"url": "srt://h:9", "rendition": "720p", "keys": ["a", "b"]}
    ).rule().keys == ("a", "b")
