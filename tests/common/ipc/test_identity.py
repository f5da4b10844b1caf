"""common/ipc/identity.py."""

import pytest

from common.ipc.identity import (
    ChildId,
    Role,
    cpu_worker,
    gpu_worker,
    split_stream_id,
    stream_id,
)


def test_a_stream_id_splits_into_what_it_was_made_of() -> None:
    assert stream_id("live", "cam1") == "live/cam1"
    assert split_stream_id(stream_id("live", "cam1")) == ("live", "cam1")


@pytest.mark.parametrize(
    ("child", "text", "place", "device_name"),
    [
        (ChildId("ingest", index=1), "ingest:1", "", ""),
        (ChildId("egress"), "egress:0", "", ""),
        (cpu_worker(3), "worker:cpu:3", "cpu:3", "cpu:3"),
        (cpu_worker(3, Role.DEDICATED), "worker:cpu:q3", "cpu:q3", "cpu:q3"),
        (gpu_worker("GPU-1"), "worker:GPU-1", "GPU-1", "GPU-1"),
        (gpu_worker("GPU-1", 2), "worker:GPU-1:2", "GPU-1:2", "GPU-1"),
        (ChildId("supervisor"), "supervisor", "", ""),
    ],
)
def test_a_child_has_a_name_for_people(
    child: ChildId, text: str, place: str, device_name: str
) -> None:
    assert (str(child), child.text) == (text, text)
    if child.device:
        assert (child.place, child.device_name) == (place, device_name)


def test_equal_values_are_one_key_and_others_are_not() -> None:
    known = {cpu_worker(1): "one", cpu_worker(1, Role.DEDICATED): "alone"}
    assert known[ChildId("worker", "cpu", 1)] == "one"
    assert ChildId("worker", "cpu", 2) not in known
    assert ChildId("ingest", host="a") != ChildId("ingest", host="b")


def test_children_are_ordered_by_kind_device_and_number() -> None:
    ordered = [ChildId("egress"), ChildId("ingest"), cpu_worker(2), cpu_worker(10)]
    assert sorted(reversed(ordered)) == ordered
