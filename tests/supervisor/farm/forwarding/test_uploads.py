"""supervisor/farm/forwarding/uploads.py: what the upload child said last."""

from dataclasses import replace

from common.config.hooks import HookEvent, Hooks
from common.config.settings import Settings
from common.ipc.hook_messages import HookNotice, HookSubject
from common.ipc.identity import ChildId
from common.ipc.upload_messages import UploadReport, UploadState, UploadStatus
from supervisor.farm.actions import Send
from tests.kit.farm_rig import MakeRig

UPLOAD, RECORD, HOOKS = (ChildId(kind, index=0) for kind in ("upload", "record", "hooks"))
STATUS = UploadStatus("live", "https://h/b", UploadState.UPLOADING)
TOLD = HookNotice(
    HookEvent.UPLOADED, HookSubject("live", "a", "source", "", "s"), 1.0, 2.0, 3, "r", file="/r/f"
)


def test_what_it_said_is_kept_while_it_is_there(make_rig: MakeRig) -> None:
    rig = make_rig(Settings())
    rig.up(UPLOAD)
    assert rig.say(UPLOAD, UploadReport((STATUS,))) == []
    assert rig.farm.uploads.of_apps() == [STATUS]
    rig.down(UPLOAD)
    assert rig.farm.uploads.of_apps() == []


def test_the_hook_hears_of_an_upload_from_that_child_alone(make_rig: MakeRig) -> None:
    (live,) = Settings().templates
    live = replace(live, hooks=Hooks("http://h/", "s"))
    rig = make_rig(replace(Settings(), templates=(live,)))
    for child in (UPLOAD, RECORD, HOOKS):
        rig.up(child)
    assert rig.say(UPLOAD, TOLD) == [Send(HOOKS, TOLD)]
    assert rig.say(RECORD, TOLD) == []
    assert rig.say(UPLOAD, replace(TOLD, event=HookEvent.RECORDED)) == []
