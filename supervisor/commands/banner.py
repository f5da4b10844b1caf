"""What `tfarm supervisor` prints once the farm can be used. Pure."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from common.config.ladder import Pipeline, SourceFormat
from common.config.settings import Listen, Settings
from common.ipc.control_messages import DeviceInfo
from supervisor.placement.cost import Resource, stream_cost
from supervisor.placement.fleet import Fleet

RTMP_PORT = 1935


def url_base(address: str) -> str:
    """`rtmp://…` of a listen address; the port only where it is not RTMP's own."""
    host, _, port = address.rpartition(":")
    if host in ("0.0.0.0", "[::]", "::"):
        host = "HOST"  # any address of this host
    return f"rtmp://{host}" if port == str(RTMP_PORT) else f"rtmp://{host}:{port}"


def address_text(listen: Listen) -> str:
    """HOST:PORT, an IPv6 host in brackets."""
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    return f"{host}:{listen.port}"


def banner(
    version: str,
    run_dir: str,
    listen: Sequence[str],
    settings: Settings,
    fleet: Fleet,
    devices: Sequence[DeviceInfo],
    command: str = "tfarm",
) -> str:
    """A few lines: where to publish, where to play, what it runs on.

    `command` is how a shell calls this tfarm.
    """
    lines = [f"tfarm {version} is running."]
    base = url_base(listen[0]) if listen else "rtmp://…"
    for template in settings.templates:
        names = ", ".join(template.rendition_names())
        first = template.rendition_names()[0]
        query = "?key=…" if template.publish_keys else ""
        lines.append(f"  publish   {base}/{template.name}/KEY{query}")
        query = "?key=…" if template.play_keys else ""
        lines.append(f"  play      {base}/{template.name}/KEY/{first}{query}    ({names})")
    lines += _device_lines(settings, fleet, devices)
    lines.append(f"  status    {command} status --run-dir {run_dir}")
    return "\n".join(lines)


def _device_lines(settings: Settings, fleet: Fleet, devices: Sequence[DeviceInfo]) -> list[str]:
    by_name = {device.name: device for device in devices}  # a GPU once, with all its workers
    counts = Counter(device.name for device in devices)
    lines = []
    for name, device in by_name.items():
        several = f", {counts[name]} workers" if counts[name] > 1 else ""
        lines.append(f"  device    {name}: {device.label} ({device.path.value}{several})")
    if not devices:
        lines.append("  device    none is ready yet: see its status")
    cores = fleet.host.get(Resource.CORES)
    if cores is not None and settings.templates:
        hd = SourceFormat(1280, 720, fps=Fraction(30))
        cost = stream_cost(settings.templates[0], hd).total
        lines.append(
            f"  software  capacity {cores:.0f}: room for {int(cores // cost)} streams of 720p30 "
            f'in "{settings.templates[0].name}" ({cost:.0f} each)'
        )
    starting = dict.fromkeys(
        device.name.device_name
        for device in fleet.devices.values()
        if not device.is_up
        and device.pipeline is not Pipeline.SOFTWARE
        and device.name.device_name not in by_name
    )
    lines += [f"  device    {name}: still starting" for name in starting]
    if not starting and not any(device.kind == "gpu" for device in devices):
        lines.append(
            "  GPUs      none found" if settings.devices.use_gpus else "  GPUs      unused"
        )
    return lines
