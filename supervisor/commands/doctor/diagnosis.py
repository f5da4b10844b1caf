"""What `tfarm doctor` concludes from what it found. Pure.

One `DeviceFinding` a device: what its probe answered, or why it did not. The verdict of each is
what a farm would use it as; `advice` names what is missing and how to get it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from common.config.ladder import Pipeline, Template
from common.config.settings import DEFAULT_RENDITIONS
from common.extras import WEBRTC, install_words, repair_words
from common.ipc.identity import CPU
from common.media.units import VideoCodec
from common.srt import installed as libsrt
from common.words import counted
from supervisor.placement.cost import CAPACITY_PER_CORE, FULL_HD30, stream_cost

GPU_PACKAGES = ("cuda", "cupy", "PyNvVideoCodec")  # import names
OLDEST_CUDA = 12000
# The first drivers of these CUDA versions (NVIDIA's release notes).
DRIVER_FOR_CUDA_12 = "525.60"
# What FFmpeg 8.1's NVENC headers ask for.
DRIVER_FOR_NVENC = "570"
_MIB = 1024**2
_BUILT_IN = Template("", DEFAULT_RENDITIONS)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeviceFinding:
    """One device: its probe's answer, or why there is none."""

    name: str  # "cpu" or a GPU UUID
    label: str
    pci_id: str = ""
    report: Json = field(default_factory=dict)  # what the probe answered
    problem: str = ""
    unfit_by: str = ""  # what of the configuration leaves it alone
    streams: dict[str, int] = field(default_factory=dict)  # of 1080p30 that it takes, by app
    lacking: tuple[str, ...] = ()  # renditions that it does not make, by key

    @property
    def used_as(self) -> Pipeline | None:
        """None: not used."""
        if self.unfit_by or self.problem:
            return None
        return Pipeline(self.report["used_as"])


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found on this host."""

    version: str
    python: str
    cores: int
    driver: str  # "" when there is none
    cuda: int  # 13000 is 13.0
    driver_problem: str
    bus_gpus: tuple[str, ...]  # PCI ids that the kernel sees
    missing_packages: tuple[str, ...]  # of GPU_PACKAGES
    uses_gpus: bool  # so configured
    devices: tuple[DeviceFinding, ...]
    pip: str = "pip"  # of tfarm's environment
    sandbox_lacks: tuple[str, ...] = ()  # what the kernel does not have for it
    sandbox_problems: str = ""  # what a process could not close that tried
    uses_sandbox: bool = True  # so configured
    exposure: str = ""  # that strangers may publish, in words
    certificate: str = ""  # its file, where TLS is taken
    certificate_problem: str = ""
    lacks_webrtc: bool = False  # it is configured, and its packages are not installed
    webrtc_problem: str = ""  # they are, and cannot be used
    lacks_libsrt: bool = False  # likewise
    buckets: tuple[str, ...] = ()  # that recordings are copied to
    bucket_problems: tuple[str, ...] = ()  # in words
    cluster: str = ""  # the host's name in it; "": it is alone
    etcd_versions: tuple[str, ...] = ()  # of the members that answer
    cluster_problems: tuple[str, ...] = ()  # in words, with what to do

    @property
    def is_usable(self) -> bool:
        return any(device.used_as is not None for device in self.devices)


def extra_for(cuda: int) -> str | None:
    """The extra that holds the packages for a driver's CUDA; None: no extra for it."""
    if cuda < OLDEST_CUDA:
        return None
    return "gpu12" if cuda < 13000 else "gpu13"


def document(found: Findings) -> Json:
    """`tfarm doctor --json`."""
    return {
        "version": found.version,
        "usable": found.is_usable,
        "host": {"cores": found.cores, "python": found.python},
        "driver": {
            "version": found.driver,
            "cuda": cuda_text(found.cuda) if found.cuda else "",
            "problem": found.driver_problem,
        },
        "tls": {"certificate": found.certificate, "problem": found.certificate_problem},
        "buckets": {"names": list(found.buckets), "problems": list(found.bucket_problems)},
        "cluster": {
            "host": found.cluster,
            "etcd": list(found.etcd_versions),
            "problems": list(found.cluster_problems),
        },
        "sandbox": {
            "used": found.uses_sandbox,
            "lacks": list(found.sandbox_lacks),
            "problems": found.sandbox_problems,
        },
        "devices": [
            {
                "name": device.name,
                "label": device.label,
                "pci_id": device.pci_id,
                "used_as": device.used_as.value if device.used_as else None,
                "why": why(device),
                "problem": device.problem,
                "streams_1080p30": device.streams,
                "report": device.report,
            }
            for device in found.devices
        ],
        "advice": list(advice(found)),
    }


def text(found: Findings) -> str:
    """The same for people."""
    lines = [f"tfarm {found.version}, Python {found.python}, {found.cores} cores"]
    if found.driver:
        lines.append(f"NVIDIA driver {found.driver}, CUDA {cuda_text(found.cuda)}")
    else:
        lines.append(f"NVIDIA driver: none ({found.driver_problem or 'not looked for'})")
    lines.append(f"Sandbox of the workers: {_sandbox(found)}")
    if found.certificate:
        problem = found.certificate_problem
        lines.append(f"TLS: {problem or f'the certificate {found.certificate} is good'}")
    if found.buckets and not found.bucket_problems:
        lines.append(f"Recordings: {', '.join(found.buckets)} takes files")
    if found.cluster:
        lines.append(f"Cluster: host {found.cluster}, {_cluster(found)}")
    for device in found.devices:
        lines += ["", *_device_lines(device, found.cores)]
    given = list(advice(found))
    if given:
        lines += ["", "To do:", *(f"  - {line}" for line in given)]
    lines += ["", "This host can run tfarm." if found.is_usable else "This host cannot run tfarm."]
    return "\n".join(lines)


def why(device: DeviceFinding) -> str:
    """Why a device is used as it is."""
    if device.unfit_by:
        return f"left alone: {device.unfit_by}"
    if device.problem:
        return device.problem
    notes = [str(note) for note in device.report.get("notes", ())]
    match device.used_as:
        case Pipeline.GPU_ONLY:
            words = ["decodes, scales and encodes on the GPU", *notes]
        case Pipeline.HYBRID:
            words = [
                "decodes and scales on the GPU, encoder processes use the host's cores",
                *notes,
            ]
        case _:
            words = ["libavcodec, libswscale and libx264 on the host's cores", *notes]
    return "; ".join(words)


def advice(found: Findings) -> Iterator[str]:
    """Name what is missing, and how to get it."""
    if found.exposure:
        yield f"WARNING: {found.exposure}"
    if found.uses_sandbox and found.sandbox_problems and not found.sandbox_lacks:
        yield (
            f"the workers' sandbox is not whole, {found.sandbox_problems}: let the container or "
            "the unit allow Landlock and seccomp (docs/deploy.md)"
        )
    has_gpus = any(device.pci_id for device in found.devices)
    if found.uses_gpus and not found.driver and found.bus_gpus:
        yield (
            f"an NVIDIA GPU is at {', '.join(found.bus_gpus)} but no driver answers: install "
            f"NVIDIA's driver {DRIVER_FOR_NVENC} or later (in a container: run it with the "
            "NVIDIA runtime and NVIDIA_DRIVER_CAPABILITIES=compute,video,utility)"
        )
    if has_gpus and found.uses_gpus:
        extra = extra_for(found.cuda)
        if extra is None:
            yield (
                f"driver {found.driver} is too old (CUDA {cuda_text(found.cuda)}): tfarm needs "
                f"CUDA 12, driver {DRIVER_FOR_CUDA_12} or later"
            )
        elif found.missing_packages:
            yield (
                f"{', '.join(found.missing_packages)} missing: in tfarm's checkout, {found.pip} "
                "install --require-hashes --only-binary :all: "
                f"-r requirements/{extra}.txt"
            )
    if found.lacks_webrtc:
        yield (
            "viewers by WebRTC, with the least delay, and publishers by WHIP need its packages: in "
            f"tfarm's checkout, {found.pip} install --require-hashes --only-binary :all: "
            f"-r requirements/webrtc.txt; elsewhere {install_words(WEBRTC)}"
        )
    if found.webrtc_problem:
        yield (
            f"viewers by WebRTC cannot be served: {found.webrtc_problem}: in tfarm's checkout, "
            f"{found.pip} install --force-reinstall --require-hashes --only-binary :all: "
            f"-r requirements/webrtc.txt; elsewhere {repair_words(WEBRTC)}"
        )
    if found.lacks_libsrt:
        yield f"listen.srt: nobody can publish by SRT without its library: {libsrt.INSTALL_WORDS}"
    yield from found.bucket_problems
    if found.certificate_problem:
        yield (
            f"TLS: {found.certificate_problem}: put a certificate and its key where "
            "tls.certificate and tls.key say"
        )
    for problem in found.cluster_problems:
        yield f"cluster: {problem}"
    for device in found.devices:
        if device.name == CPU and device.problem:
            yield f"software codecs do not work: {found.pip} install --force-reinstall av"
        elif "driver is too old" in why(device):
            yield (
                f"{device.name}: NVENC needs a newer driver, {DRIVER_FOR_NVENC} or later; until "
                "then the host's cores encode"
            )


def _cluster(found: Findings) -> str:
    members = f"{counted(len(found.etcd_versions), 'member')} of etcd answers"
    if len(found.etcd_versions) != 1:
        members = f"{len(found.etcd_versions)} members of etcd answer"
    if found.etcd_versions:
        members += f" ({', '.join(sorted(set(found.etcd_versions)))})"
    return f"{members}, {counted(len(found.cluster_problems), 'problem')}"


def _sandbox(found: Findings) -> str:
    if not found.uses_sandbox:
        return "off by the configuration (sandbox = false)"
    if found.sandbox_lacks:
        return f"not whole, this kernel lacks {'; '.join(found.sandbox_lacks)}"
    if found.sandbox_problems:
        return f"not whole, of a process that tried: {found.sandbox_problems}"
    return "files, network and programs are closed (Landlock, seccomp)"


def cuda_text(cuda: int) -> str:
    """13000 as "13.0"."""
    return f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "unknown"


def _device_lines(device: DeviceFinding, cores: int) -> list[str]:
    used_as = device.used_as
    verdict = used_as.value if used_as else "not used"
    pci = f", {device.pci_id}" if device.pci_id else ""
    lines = [f"{device.name} ({device.label}{pci})", f"  used as   {verdict}: {why(device)}"]
    report = device.report
    if not report:
        return lines
    free, total = report["memory_free"], report["memory_total"]
    if used_as is not None and device.streams:
        counts = ", or ".join(
            f'{counted(count, "stream")} of 1080p30 in "{app}"'
            for app, count in device.streams.items()
        )
        lines.append(f"  streams   about {counts}")
    if report.get("round_problem"):
        lines.append(f"  speed     not measured: {report['round_problem']}")
    else:
        lines.append(f"  speed     {_speed(report['round_fps'], device, cores)}")
    lines.append(f"  memory    {free // _MIB} MiB free of {total // _MIB} MiB")
    if report.get("encodes"):
        labels = [VideoCodec(name).label for name in report["encodes"]]
        lines.append(f"  encodes   {', '.join(labels)}")
    lines += [f"  WARNING   {words}" for words in device.lacking]
    if "decodes" in report:
        lines.append(f"  NVDEC     {report['decode_engines']} engines; {_caps(report['decodes'])}")
        lines.append(f"  NVENC     {_sessions(report)}")
        lines.append(
            f"  CUDA      {report['cuda_driver']}, compute capability "
            f"{report['compute_capability']}"
        )
    versions = report.get("versions") or report.get("packages") or {}
    lines.append("  versions  " + ", ".join(f"{name} {held}" for name, held in versions.items()))
    return lines


def _speed(fps: float, device: DeviceFinding, cores: int) -> str:
    """What was measured just now, and what of it is less than tfarm counts on."""
    what = "of 1080p decoded, scaled to 720p, 480p and 360p, and encoded"
    if device.name != CPU:
        return f"{fps:.0f} frames/s {what}, for one stream"
    expected = CAPACITY_PER_CORE / (stream_cost(_BUILT_IN, FULL_HD30).total / 30)
    words = f"{fps:.0f} frames/s {what}, on one core"
    if fps >= 0.75 * expected:
        return words
    return (
        f"{words}. tfarm counts on {expected:.0f}: unless the host is busy just now, run "
        "`tfarm calibrate`, or set software.capacity = "
        f"{CAPACITY_PER_CORE * cores * fps / expected:.0f}"
    )


def _caps(decodes: Json) -> str:
    formats = [
        f"{codec} {caps['max_width']}x{caps['max_height']}"
        for codec, caps in decodes.items()
        if caps["is_supported"]
    ]
    return "decodes " + ", ".join(formats) if formats else "decodes nothing"


def _sessions(report: Json) -> str:
    if report["used_as"] != Pipeline.GPU_ONLY.value:
        return "none"
    count = report.get("sessions_free")
    if count is None:
        return "works; sessions not counted while a farm runs"
    if report.get("sessions_problem"):
        return f"works; {count} sessions opened, then: {report['sessions_problem']}"
    if report.get("are_sessions_capped") and count == 0:
        return (
            "works; other programs hold all sessions of the driver now: streams get theirs as "
            "they come free"
        )
    if report.get("are_sessions_capped"):
        return f"works; the driver opens {count} sessions and no more"
    return f"works; {count} sessions opened beside one another, no cap met"
