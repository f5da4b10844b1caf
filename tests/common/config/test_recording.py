"""common/config/recording.py: which streams are recorded."""

from common.config.recording import Recording


def test_without_a_directory_nothing_is_recorded() -> None:
    assert not Recording().takes("cam1")
    assert Recording("/r").takes("cam1")


def test_with_keys_these_streams_alone_are() -> None:
    rule = Recording("/r", keys=("cam1",))
    assert (rule.takes("cam1"), rule.takes("cam2")) == (True, False)
