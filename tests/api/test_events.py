"""What happened, told from one document to the next."""

from typing import Any

from api.document import published
from api.events import MAX_EVENTS, EventLog
from common.process.log import stream_label
from tests.kit.status_pages import farm_document, refusal_row, stream_row

CAM0 = stream_label("live/cam0")


def decision(number: int, text: str = "placed on cpu:0", key: str = "cam0") -> dict[str, Any]:
    at_unix = 1_900.0 + number
    return {"at_unix": at_unix, "app": "live", "key": key, "text": text, "number": number}


def document(**fields: Any) -> dict[str, Any]:
    return farm_document([stream_row("live", "cam0")]) | fields


def seen(*documents: dict[str, Any]) -> list[dict[str, Any]]:
    log = EventLog(1.0)
    for one in documents:
        log.observe(published(one, shows_keys=False))
    return list(log.after(0))


def texts(*documents: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(event["kind"], event["subject"], event["text"]) for event in seen(*documents)]


def test_decisions_that_were_there_before_are_the_first_events() -> None:
    assert texts(document(decisions=[decision(1), decision(2, "moved")])) == [
        ("stream", CAM0, "placed on cpu:0"),
        ("stream", CAM0, "moved"),
    ]


def test_a_decision_is_told_once() -> None:
    first = document(decisions=[decision(1)])
    second = document(decisions=[decision(1), decision(2, "moved"), decision(3, "moved")])
    assert [text for _, _, text in texts(first, second, second)] == [
        "placed on cpu:0",
        "moved",
        "moved",
    ]


def test_a_new_supervisor_numbers_its_decisions_from_the_first_on() -> None:
    first = document(decisions=[decision(1), decision(2)])
    second = document(decisions=[decision(1, "adopted")], since_unix=1_950.0)
    assert texts(first, second)[-2:] == [
        ("stream", CAM0, "adopted"),
        ("farm", "supervisor", "a new supervisor has taken the farm over"),
    ]


def test_numbers_grow_over_restarts_of_this_process() -> None:
    first, second = EventLog(1_000.0), EventLog(1_060.0)
    whole = published(document(decisions=[decision(1)]), shows_keys=False)
    first.observe(whole)
    second.observe(whole)
    assert second.after(0)[0]["id"] > first.after(0)[0]["id"]


def test_only_what_is_new_is_given_and_no_more_than_asked_for() -> None:
    log = EventLog(1.0)
    rows = [decision(number) for number in range(1, 6)]
    log.observe(published(document(decisions=rows), shows_keys=False))
    ids = [event["id"] for event in log.after(0)]
    assert [event["id"] for event in log.after(ids[2])] == ids[3:]
    assert [event["id"] for event in log.after(0, 2)] == ids[3:]
    assert log.after(0, 0) == []


def test_the_log_is_bounded() -> None:
    log = EventLog(1.0)
    for number in range(1, 2 * MAX_EVENTS):
        row = document(decisions=[decision(number)])
        log.observe(published(row, shows_keys=False))
    assert len(log.after(0)) == MAX_EVENTS


def test_a_process_that_ended_and_one_that_does_not_come_back() -> None:
    first, second, third = document(), document(), document()
    second["children"][0] = second["children"][0] | {"restarts": 1, "reason": "killed by signal 9"}
    third["children"][0] = second["children"][0] | {"state": "fatal", "reason": "bad file"}
    assert texts(first, second, third) == [
        ("process", "ingest:0", "ended: killed by signal 9; started again"),
        ("process", "ingest:0", "fatal: bad file"),
    ]
    assert all(event["is_problem"] for event in seen(first, second, third))


def test_a_device_that_changes_its_state() -> None:
    first, second = document(), document()
    second["devices"][0] = second["devices"][0] | {"state": "lost", "reason": "off the bus"}
    assert texts(first, second, first) == [
        ("device", "cpu:0", "lost: off the bus"),
        ("device", "cpu:0", "ready"),
    ]


def test_refusals_by_their_count() -> None:
    first = document(refusals=[refusal_row(count=1)])
    second = document(refusals=[refusal_row(count=4)])
    assert texts(first, first, second) == [
        (
            "refusal",
            "live/3fa2c1d0",
            "refused to publish: the publish key (?key=...) of live is wrong (3 times)",
        )
    ]


def test_bans_and_drains() -> None:
    ban = {"target": "203.0.113.0/24", "until_unix": None, "since_unix": 1_990.0, "by": "uid 0"}
    first, second = document(), document(bans=[ban | {"reason": "flood"}], closed="drained")
    assert sorted(texts(first, second, first)) == [
        ("ban", "203.0.113.0/24", "banned by uid 0: flood"),
        ("ban", "203.0.113.0/24", "not banned any more"),
        ("farm", "farm", "takes no streams: drained"),
        ("farm", "farm", "takes streams again"),
    ]


def test_a_notice_about_a_source() -> None:
    first, second = document(), document()
    notice = {"code": "long-gop", "words": "keyframes are 8 s apart", "since_unix": 1_995.0}
    second["streams"] = [second["streams"][0] | {"notices": [notice | {"is_fault": True}]}]
    assert texts(first, second, second) == [("notice", CAM0, "keyframes are 8 s apart")]


def test_no_key_is_in_it() -> None:
    row = decision(1, "made way by live/cam0")
    assert "cam0" not in str(seen(document(decisions=[row])))
