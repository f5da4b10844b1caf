"""Black pictures and silent sound of a stream that has a backup, and an operator's word."""

from dataclasses import replace
from typing import Any

import pytest

from common.config.settings import Settings
from common.ipc.control_messages import SwitchPublisher
from common.ipc.identity import ChildId
from common.ipc.status_messages import AudioLevels, Notice, StandbyStatus
from supervisor.farm.actions import Action
from tests.kit.children import CPU0, INGEST0
from tests.kit.farm_rig import Rig as FarmRig

AUDIO0 = ChildId("audio")
STANDBY = StandbyStatus("backup", "203.0.113.7:2", 0.0, is_ready=True)
BLACK = Notice("black-picture", "black", 0.0)
SILENT = Notice("silence", "silent", 0.0)
TEMPLATE = replace(
    Settings().templates[0],
    takes_backup=True,
    backup_after_black_s=15.0,
    backup_after_silent_s=30.0,
    audio_levels=True,
)


def switches(actions: list[Action]) -> list[SwitchPublisher]:
    return [one for one in FarmRig.messages(actions) if isinstance(one, SwitchPublisher)]


class Rig(FarmRig):
    """A stream with a backup."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(Settings(templates=(replace(TEMPLATE, **changes),)))
        self.up(AUDIO0)
        self.publish()

    def second(
        self, *pictures: Notice, sound: tuple[Notice, ...] = (), **fields: Any
    ) -> list[SwitchPublisher]:
        """Another second passes."""
        self.tick(1.0)
        self.beat(CPU0, transcodes=(self.transcode(notices=pictures),))
        levels = AudioLevels(self.stream().stream_id, -90, -90, sound)
        self.beat(AUDIO0, levels=(levels,))
        fields.setdefault("role", "main")
        fields.setdefault("standby", STANDBY)
        return switches(self.beat(INGEST0, publishers=(self.publisher("live/a", **fields),)))


def test_a_black_picture_is_borne_for_its_time() -> None:
    rig = Rig()
    found = [rig.second(BLACK) for _ in range(7)]
    assert found[:5] == [[]] * 5, "it is black for 10 s when that is reported"
    ((switch,),) = [one for one in found if one]
    assert (switch.role, switch.is_lasting) == ("backup", False)
    assert switch.reason == "black pictures of the main publisher for 15 s"


def test_silence_likewise_and_what_is_over_counts_anew() -> None:
    rig = Rig()
    assert not any(rig.second(sound=(SILENT,)) for _ in range(15))
    assert not rig.second()
    assert not any(rig.second(sound=(SILENT,)) for _ in range(19))
    assert any(rig.second(sound=(SILENT,)) for _ in range(3))


@pytest.mark.parametrize(
    "fields",
    [{"standby": None}, {"standby": replace(STANDBY, is_ready=False)}, {"role": "backup"}],
)
def test_without_another_that_is_good_nothing_is_done(fields: dict[str, Any]) -> None:
    rig = Rig()
    assert not any(rig.second(BLACK, **fields) for _ in range(30))


def test_a_template_that_says_nothing_bears_all() -> None:
    rig = Rig(backup_after_black_s=None, backup_after_silent_s=None)
    assert not any(rig.second(BLACK, sound=(SILENT,)) for _ in range(60))


@pytest.mark.parametrize(
    ("role", "is_done", "words", "sent"),
    [
        ("backup", True, "goes over to its backup", ["backup"]),
        ("main", True, "stays with its main", ["main"]),
        ("auto", True, "by the rules", [""]),
    ],
)
def test_an_operator_is_told_what_is_done(
    role: str, is_done: bool, words: str, sent: list[str]
) -> None:
    rig = Rig()
    rig.second()
    done, told, actions = rig.farm.backups.switch(rig.stream(), role, "uid 0")
    assert done is is_done
    assert words in told
    assert [one.role for one in switches(actions)] == sent


def test_an_operator_is_told_why_nothing_is_done() -> None:
    rig = Rig()
    rig.second(standby=None)
    done, told, actions = rig.farm.backups.switch(rig.stream(), "backup", "uid 0")
    assert not done
    assert "not there" in told
    assert not actions
    plain = Rig(takes_backup=False)
    done, told, _ = plain.farm.backups.switch(plain.stream(), "backup", "uid 0")
    assert not done
    assert "templates.live.backup" in told
