"""egress/upload/backlog.py: which file is sent next, and when it is tried again."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from common.ipc.upload_messages import UploadState
from egress.upload.backlog import MOST_RETRY_S, RETRY_S, Backlog, Waiting

NOW = 100.0


def files(count: int) -> list[Waiting]:
    names = [f"20251130T1053{at:02}.000Z.mp4" for at in range(count)]
    return [Waiting(Path("/r/live/a/source", name), 10, 1e9 + at) for at, name in enumerate(names)]


def backlog(count: int = 3) -> Backlog:
    made = Backlog("live", "http://h/b", NOW)
    made.found(files(count), NOW)
    return made


def test_the_oldest_is_first_and_one_is_on_its_way_at_a_time() -> None:
    made = backlog()
    assert made.begin(NOW) == files(3)[0]
    assert made.begin(NOW) is None
    assert made.state is UploadState.UPLOADING
    made.done(NOW + 1)
    assert made.begin(NOW + 1) == files(3)[1]


def test_one_that_is_not_taken_holds_up_no_other() -> None:
    made = backlog()
    bad = made.begin(NOW)
    made.failed("it is too large", NOW)
    assert made.state is UploadState.RETRYING
    assert made.begin(NOW + RETRY_S - 0.1) is None
    assert made.begin(NOW + RETRY_S) == files(3)[1]
    made.done(NOW + RETRY_S)
    assert made.reason == ""
    assert made.begin(NOW + RETRY_S) == files(3)[2]
    made.done(NOW + RETRY_S)
    assert made.begin(NOW + RETRY_S) == bad


def test_failures_are_waited_for_twice_as_long_each_time() -> None:
    made, now, waits = backlog(1), NOW, []
    for _ in range(10):
        assert made.begin(now) is not None
        made.failed("no", now)
        again = next(s for s in range(1, 1000) if made._again_s <= now + s)
        waits.append(again)
        now += again
    assert waits[:4] == [5, 10, 20, 40]
    assert waits[-1] == MOST_RETRY_S
    assert made.status(now, 1e9).failures == 10


def test_a_look_at_the_disk_from_before_brings_no_file_back() -> None:
    """The folder was read, then the file was taken and marked, then what was read came."""
    made = backlog(1)
    made.begin(NOW)
    made.done(NOW)
    made.found(files(1), NOW)
    assert made.begin(NOW) is None
    made.found([], NOW)
    made.found(files(1), NOW)  # somebody has removed its mark
    assert made.begin(NOW) is not None


def test_a_file_that_somebody_removed_is_no_failure() -> None:
    made = backlog(1)
    made.begin(NOW)
    made.gone(NOW)
    status = made.status(NOW, 1e9)
    assert (status.state, status.waiting_files, status.failures) == (UploadState.IDLE, 0, 0)


def test_status_has_what_waits_and_since_when() -> None:
    made = backlog()
    made.begin(NOW)
    made.sent = 4
    status = made.status(NOW + 2, 1e9 + 50)
    assert (status.waiting_files, status.waiting_bytes, status.oldest_s) == (3, 30, 50.0)
    assert (status.sent_bytes, status.seconds) == (4, 2.0)
    made.done(NOW + 3)
    status = made.status(NOW + 3, 1e9 + 50)
    assert (status.files, status.bytes, status.waiting_files, status.sent_bytes) == (1, 10, 2, 0)


@given(st.lists(st.sampled_from(["done", "failed", "gone", "look"]), max_size=40))
def test_no_file_is_taken_twice_and_none_is_forgotten(steps: list[str]) -> None:
    made, now, taken, left = backlog(5), NOW, [], {file.path: file for file in files(5)}
    for step in steps:
        now += MOST_RETRY_S
        if step == "look":
            made.found(left.values(), now)
            continue
        file = made.begin(now)
        if file is None:
            assert not left
            continue
        if step == "failed":
            made.failed("no", now)
        else:
            made.done(now) if step == "done" else made.gone(now)
            taken.append(file.path)
            del left[file.path]
    assert len(set(taken)) == len(taken)
    assert made.status(now, 0.0).waiting_files == len(left)
