"""supervisor/farm/forwarding/quality_events.py: what hooks are told of renditions that look bad."""

from dataclasses import replace

from common.config.hooks import HookEvent, Hooks
from common.config.settings import Settings
from common.ipc.hook_messages import HookNotice, HookSubject
from common.ipc.identity import ChildId, cpu_worker
from common.ipc.status_messages import Quality, RenditionStatus
from supervisor.farm.actions import Action, Send
from tests.kit.children import EGRESS0, INGEST0
from tests.kit.farm_rig import MakeRig, Rig

HOOKS = ChildId("hooks", index=0)
STREAM = "live/cam1"


def settings(*events: HookEvent) -> Settings:
    (live,) = Settings().templates
    hooks = Hooks("http://h/", "s", events=events or tuple(HookEvent))
    return replace(Settings(), templates=(replace(live, hooks=hooks),))


def rendition(ssim: float | None, at_unix: float = 0.0, *, is_low: bool = False) -> RenditionStatus:
    quality = Quality(ssim, 33.0, at_unix) if ssim is not None else None
    return RenditionStatus("720p", quality=quality, quality_floor=0.9, is_low=is_low)


def beat(rig: Rig, *renditions: RenditionStatus, worker: ChildId | None = None) -> list[Action]:
    """The worker's heartbeat: what goes to the hooks child."""
    known = worker or rig.farm.state.device_of(rig.stream(STREAM))
    actions = rig.beat(known, transcodes=(rig.transcode(STREAM, renditions=renditions),))
    return [one for one in actions if isinstance(one, Send) and one.child == HOOKS]


def started(make_rig: MakeRig, *events: HookEvent) -> Rig:
    rig = make_rig(settings(*events))
    rig.up(HOOKS)
    rig.publish(STREAM)
    return rig


def test_a_rendition_that_looks_bad_is_told_once_and_its_end_once(make_rig: MakeRig) -> None:
    rig = started(make_rig)
    assert beat(rig, rendition(None)) == []
    assert beat(rig, rendition(0.95, 1000.0)) == []
    generation = rig.stream(STREAM).generation
    subject = HookSubject("live", "cam1", "720p", "", f"quality-{generation}-720p-1020", "")
    words = "SSIM 0.850, its floor is 0.9"
    low = HookNotice(HookEvent.QUALITY, subject, 1020.0, 0.0, 0, words, is_low=True)
    assert beat(rig, rendition(0.85, 1020.0, is_low=True)) == [Send(HOOKS, low)]
    assert beat(rig, rendition(0.84, 1030.0, is_low=True)) == []
    back = replace(
        low,
        is_low=False,
        subject=replace(subject, session=f"quality-{generation}-720p-1050"),
        at_unix=1050.0,
        seconds=30.0,
        reason="SSIM 0.930, its floor is 0.9",
    )
    assert beat(rig, rendition(0.93, 1050.0)) == [Send(HOOKS, back)]
    assert beat(rig, rendition(0.93, 1050.0)) == []


def test_what_is_not_made_for_a_while_stays_as_it_was(make_rig: MakeRig) -> None:
    rig = started(make_rig)
    assert len(beat(rig, rendition(0.85, 1020.0, is_low=True))) == 1
    assert beat(rig, rendition(None)) == []
    assert beat(rig, rendition(0.85, 1040.0, is_low=True)) == []


def test_a_stream_that_ends_is_forgotten(make_rig: MakeRig) -> None:
    rig = started(make_rig)
    assert len(beat(rig, rendition(0.85, 1020.0, is_low=True))) == 1
    rig.end(STREAM)
    rig.tick(60)
    rig.publish("live/other")
    rig.beat(cpu_worker(0))
    rig.publish(STREAM)
    assert len(beat(rig, rendition(0.85, 2020.0, is_low=True))) == 1


def test_a_hook_that_does_not_take_it_is_not_told(make_rig: MakeRig) -> None:
    rig = started(make_rig, HookEvent.ON_PUBLISH)
    assert beat(rig, rendition(0.85, 1020.0, is_low=True)) == []


def test_only_the_streams_own_worker_is_believed(make_rig: MakeRig) -> None:
    rig = started(make_rig)
    own = rig.farm.state.device_of(rig.stream(STREAM))
    (other,) = {cpu_worker(0), cpu_worker(1)} - {own}
    assert beat(rig, rendition(0.85, 1020.0, is_low=True), worker=other) == []


def test_no_child_tells_a_hook_of_it(make_rig: MakeRig) -> None:
    rig = started(make_rig)
    subject = HookSubject("live", "cam1", "720p", "", "s", "")
    notice = HookNotice(HookEvent.QUALITY, subject, 1.0, 0.0, 0, "r")
    for child in (INGEST0, EGRESS0):
        assert rig.say(child, notice) == []
