"""When each alert of deploy/prometheus/tfarm.rules.yml comes, and when it does not: one table.

Series are as `promtool test rules` writes them, a sample every 15 s: `0+1x60` grows sixty times.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]  # its stubs are no dependency of ours

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy" / "prometheus" / "tfarm.rules.yml"
STEP_S: Final = 15
FARM: Final = 'job="tfarm",instance="farm:9180"'
Series = dict[str, str]  # values, by name and labels


@dataclass(frozen=True)
class Case:
    """One alert: series on which it comes, with what it says, and series on which it does not."""

    alert: str
    fires: Series
    is_quiet: Series
    summary: str
    labels: Mapping[str, str] = field(default_factory=dict)  # beside job, instance and severity


def _both(name: str, labels: str, fires: str, quiet: str) -> tuple[Series, Series]:
    series = f"{name}{{{FARM}{',' if labels else ''}{labels}}}"
    return {series: fires}, {series: quiet}


def _of(name: str, value: str, labels: str = "") -> Series:
    return {f"{name}{{{FARM}{',' if labels else ''}{labels}}}": value}


def _delays(slow: int) -> Series:
    """A hundred pictures a step, so many of which took between 0.5 and 1 s."""
    of = f'stage="total",rendition="720p",{FARM}'
    name = "tfarm_stage_delay_seconds_bucket"
    return {
        f'{name}{{le="0.5",{of}}}': f"0+{100 - slow}x60",
        f'{name}{{le="1.0",{of}}}': "0+100x60",
        f'{name}{{le="+Inf",{of}}}': "0+100x60",
    }


_RECEIVED: Final = _of("tfarm_frames_received_total", "0+450x60", 'app="live"')
_REFUSED: Final = 'what="publish",reason="denied",cause="wrong-key"'

CASES: Final = (
    Case(
        "TfarmDown",
        *_both("up", "", "0x60", "1x60"),
        "farm:9180: the farm's API does not answer",
    ),
    Case(
        "TfarmUnsupervised",
        *_both("tfarm_supervised", "", "0x60", "1x60"),
        "farm:9180: no supervisor",
    ),
    Case(
        "TfarmChildDown",
        *_both("tfarm_child_up", 'child="ingest:0"', "0x60", "1x60"),
        "farm:9180: ingest:0 is not ready",
        {"child": "ingest:0"},
    ),
    Case(
        "TfarmDeviceDown",
        *_both("tfarm_device_up", 'device="cpu:0"', "0x60", "1x60"),
        "farm:9180: device cpu:0 takes no streams",
        {"device": "cpu:0"},
    ),
    Case(
        "TfarmChildRestarts",
        *_both("tfarm_child_restarts_total", 'kind="worker"', "0+1x80", "0x40 1x40"),
        "farm:9180: worker was started again 60 times in 15 minutes",
        {"kind": "worker"},
    ),
    Case(
        "TfarmNotReady",
        _of("tfarm_ready", "0x60") | _of("tfarm_supervised", "1x60"),
        _of("tfarm_ready", "0x60") | _of("tfarm_supervised", "0x60"),  # an alert of its own
        "farm:9180: no further publisher is let in",
    ),
    Case(
        "TfarmDevicesNearlyFull",
        _of("tfarm_device_load", "95x100", 'device="cpu:0"')
        | _of("tfarm_device_capacity", "100x100", 'device="cpu:0"'),
        _of("tfarm_device_load", "95x100", 'device="cpu:0"')
        | _of("tfarm_device_load", "5x100", 'device="cpu:1"')
        | _of("tfarm_device_capacity", "100x100", 'device="cpu:0"')
        | _of("tfarm_device_capacity", "100x100", 'device="cpu:1"'),
        "farm:9180: 95% of its devices is booked",
    ),
    Case(
        "TfarmHostNearlyFull",
        _of("tfarm_host_used", "195x100", 'resource="cores"')
        | _of("tfarm_host_capacity", "200x100", 'resource="cores"'),
        _of("tfarm_host_used", "100x100", 'resource="cores"')
        | _of("tfarm_host_capacity", "200x100", 'resource="cores"'),
        "farm:9180: 97.5% of the host's cores is booked",
        {"resource": "cores"},
    ),
    Case(
        "TfarmGpuMemoryNearlyFull",
        _of("tfarm_device_memory_used_bytes", "98x60", 'device="gpu:0"')
        | _of("tfarm_device_memory_bytes", "100x60", 'device="gpu:0"'),
        _of("tfarm_device_memory_used_bytes", "50x60", 'device="gpu:0"')
        | _of("tfarm_device_memory_bytes", "100x60", 'device="gpu:0"'),
        "farm:9180: 98% of the memory of gpu:0 is in use",
        {"device": "gpu:0"},
    ),
    Case(
        "TfarmGpuEngineBusy",
        *_both("tfarm_device_use_ratio", 'device="gpu:0",engine="encode"', "1x80", "0.9x80"),
        "farm:9180: encode of gpu:0 works all the time",
        {"device": "gpu:0", "engine": "encode"},
    ),
    Case(
        "TfarmDelayHigh",
        _delays(slow=50),
        _delays(slow=4),
        "farm:9180: 720p takes 950ms through the farm",
        {"rendition": "720p"},
    ),
    Case(
        "TfarmDecodersBehind",
        *_both("tfarm_device_queue_seconds", 'device="cpu:0"', "0.75x60", "0.2x60"),
        "farm:9180: media waits 750ms before cpu:0",
        {"device": "cpu:0"},
    ),
    Case(
        "TfarmPicturesDropped",
        _RECEIVED | _of("tfarm_frames_dropped_total", "0+45x60", 'app="live",place="worker"'),
        # a player that reads too slowly is no fault of the farm's
        _RECEIVED | _of("tfarm_frames_dropped_total", "0+45x60", 'app="live",place="player"'),
        "farm:9180: 10% of the pictures of live is dropped",
        {"app": "live"},
    ),
    Case(
        "TfarmDecodeErrors",
        _RECEIVED | _of("tfarm_decode_errors_total", "0+45x60", 'app="live"'),
        _RECEIVED | _of("tfarm_decode_errors_total", "0+1x60", 'app="live"'),
        "farm:9180: 10% of the pictures of live does not decode",
        {"app": "live"},
    ),
    Case(
        "TfarmManyRefused",
        *_both("tfarm_refusals_total", _REFUSED, "0+30x80", "0+1x80"),
        "farm:9180: 2 a second are refused to publish (denied, wrong-key)",
        {"what": "publish", "reason": "denied", "cause": "wrong-key"},
    ),
    Case(
        "TfarmHooksUnanswered",
        *_both("tfarm_hook_answers_total", 'answer="none"', "0+1x60", "7x60"),
        "farm:9180: hooks do not answer",
    ),
    Case(
        "TfarmHookNoticesLost",
        *_both("tfarm_hook_notices_total", 'outcome="lost"', "0x9 3x60", "3x60"),
        "farm:9180: notices to hooks were lost",
    ),
    Case(
        "TfarmPushesFail",
        # called again meanwhile
        *_both("tfarm_pushes", 'state="retrying"', "2 0 2 2x60", "0 1 0x60"),
        "farm:9180: 2 renditions do not reach others' servers",
    ),
    Case(
        "TfarmRecordingsFail",
        *_both("tfarm_recordings", 'state="failed"', "3x60", "0x60"),
        "farm:9180: 3 renditions are not recorded",
    ),
    Case(
        "TfarmUploadsFail",
        *_both("tfarm_uploads", 'state="retrying"', "1x60", "1x10 0x60"),
        "farm:9180: buckets of 1 apps take no recordings",
    ),
    Case(
        "TfarmUploadsBehind",
        *_both("tfarm_uploads_oldest_seconds", "", "3660x60", "3599x60"),
        "farm:9180: a recording has waited for its upload for 1h 1m 0s",
    ),
    Case(
        "TfarmRecordingsRemoved",
        *_both("tfarm_recorded_lost_files_total", "", "0+1x60", "4x60"),
        "farm:9180: recordings were removed before their upload",
    ),
    Case(
        "TfarmRenditionLow",
        *_both("tfarm_renditions_low", 'app="live",rendition="720p"', "1x60", "0x60"),
        "farm:9180: 1 streams of live look bad in 720p",
        {"app": "live", "rendition": "720p"},
    ),
    Case(
        "TfarmSoundApart",
        *_both("tfarm_stream_av_skew_seconds", 'app="live",stream="live/1"', "-0.75x60", "0.1x60"),
        "farm:9180: sound of live/1 comes 750ms apart from its pictures",
        {"app": "live", "stream": "live/1"},
    ),
    Case(
        "TfarmSourceTroubled",
        *_both("tfarm_stream_notices", 'app="live",stream="live/1"', "2x80", "0x80"),
        "farm:9180: 2 notices about the source live/1",
        {"app": "live", "stream": "live/1"},
    ),
    Case(
        "TfarmClusterOutOfTouch",
        *_both("tfarm_cluster_in_touch", "", "0x60", "1x60"),
        "farm:9180: not in touch with etcd",
    ),
    Case(
        "TfarmEtcdMemberDown",
        *_both("tfarm_cluster_etcd_up", 'endpoint="https://e1:2379"', "0x60", "1x60"),
        "farm:9180: https://e1:2379 does not answer",
        {"endpoint": "https://e1:2379"},
    ),
    Case(
        "TfarmStreamsUnregistered",
        _of("tfarm_cluster_streams", "2x60", 'state="elsewhere"')
        | _of("tfarm_cluster_in_touch", "1x60"),
        _of("tfarm_cluster_streams", "2x60", 'state="unregistered"')
        | _of("tfarm_cluster_in_touch", "0x60"),  # an alert of its own
        "farm:9180: 2 streams that are not this host's for the others",
    ),
    Case(
        "TfarmTemplatesRefused",
        *_both("tfarm_cluster_templates_refused", "", "1x60", "0x60"),
        "farm:9180: it does not take the templates of all hosts",
    ),
)


def rules() -> dict[str, dict[str, Any]]:
    """The rules of the file, by name."""
    document = yaml.safe_load(RULES.read_text())
    return {rule["alert"]: rule for group in document["groups"] for rule in group["rules"]}


def seconds(duration: str) -> int:
    """What Prometheus writes as `5m`, in seconds; "": 0."""
    found = re.fullmatch(r"(\d+)([sm])", duration)
    return int(found[1]) * {"s": 1, "m": 60}[found[2]] if found else 0


def promtool_document(cases: Sequence[Case] = CASES) -> dict[str, Any]:
    """What `promtool test rules` reads: YAML, of which JSON is a part."""
    return {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{STEP_S}s",
        "tests": [test for case in cases for test in _tests(case, rules()[case.alert])],
    }


def _tests(case: Case, rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    wait_s = seconds(rule.get("for", ""))
    late_s = max(wait_s + 120, 900)  # when a rate over its window is there, too
    labels = {"job": "tfarm", "instance": "farm:9180", **rule["labels"], **case.labels}
    said = {"summary": case.summary, "description": rule["annotations"]["description"]}
    comes = [{"exp_labels": labels, "exp_annotations": said}]
    fires = [_at(case.alert, late_s, comes)]
    if wait_s:
        fires.insert(0, _at(case.alert, wait_s - STEP_S))
    quiet = [_at(case.alert, at_s) for at_s in (wait_s + STEP_S, late_s)]
    return [
        _test(f"{case.alert} comes", case.fires, fires),
        _test(f"{case.alert} stays away", case.is_quiet, quiet),
    ]


def _at(alert: str, at_s: int, comes: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """What is expected at a moment."""
    return {"eval_time": f"{at_s}s", "alertname": alert, "exp_alerts": list(comes)}


def _test(name: str, series: Series, alerts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "interval": f"{STEP_S}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": alerts,
    }
