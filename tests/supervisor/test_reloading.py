"""What a reload changes, and what it says it does not."""

from dataclasses import replace

from common.settings import Listen, Settings
from supervisor.reloading import reloaded

BEFORE = Settings(software=replace(Settings().software, workers=1))


def test_what_may_change_changes_without_a_word() -> None:
    after = replace(BEFORE, orphan_timeout_s=99.0)
    result = reloaded(BEFORE, after)
    assert result.settings == after
    assert result.kept == ()
    assert result.new_workers == ()


def test_the_listener_and_the_gpus_wait_for_a_restart() -> None:
    result = reloaded(BEFORE, replace(BEFORE, listen=Listen(port=1999)))
    assert result.settings.listen == BEFORE.listen
    assert result.kept == ("[listen] and the choice of GPUs only change with a restart",)
    devices = replace(BEFORE.devices, use_gpus=not BEFORE.devices.use_gpus)
    assert "choice of GPUs" in reloaded(BEFORE, replace(BEFORE, devices=devices)).kept[0]


def test_the_number_of_servers_waits_and_their_other_settings_do_not() -> None:
    loaded = replace(
        BEFORE,
        ingest=replace(BEFORE.ingest, processes=3),
        egress=replace(BEFORE.egress, processes=2, max_players=7),
    )
    result = reloaded(BEFORE, loaded)
    assert (result.settings.ingest.processes, result.settings.egress.processes) == (1, 1)
    assert result.settings.egress.max_players == 7
    assert "number of ingest and egress processes" in result.kept[0]


def test_software_workers_come_at_once_and_go_with_a_restart() -> None:
    more = replace(BEFORE, software=replace(BEFORE.software, workers=3))
    assert reloaded(BEFORE, more).new_workers == ("worker:cpu:1", "worker:cpu:2")
    fewer = reloaded(more, BEFORE)
    assert fewer.new_workers == ()
    assert fewer.kept == ("fewer software workers only after a restart",)
