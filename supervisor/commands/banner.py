"""What `tfarm supervisor` prints once the farm can be used. Pure."""

from collections import Counter
from collections.abc import Sequence

from common.access.authorise import play_rules, publish_rules
from common.config.access import Rules, Way
from common.config.ladder import Pipeline
from common.config.settings import Listen, Settings
from common.ipc.control_messages import DeviceInfo
from supervisor.commands.doctor.room import room_lines
from supervisor.placement.fleet import Fleet

RTMP_PORT = 1935
ANY_IPV4 = "0.0.0.0"  # nosec B104 # to compare with: nothing binds here
ANY_ADDRESS = (ANY_IPV4, "[::]", "::")


def url_base(address: str) -> str:
    """`rtmp://…` of a listen address; the port only where it is not RTMP's own."""
    host, _, port = address.rpartition(":")
    if host in ANY_ADDRESS:
        host = "HOST"  # any address of this host
    return f"rtmp://{host}" if port == str(RTMP_PORT) else f"rtmp://{host}:{port}"


def address_text(listen: Listen) -> str:
    """HOST:PORT, an IPv6 host in brackets."""
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    return f"{host}:{listen.port}"


def configured_addresses(settings: Settings) -> list[str]:
    """Where a farm with these settings listens for publishers, whatever their protocol."""
    listeners = (settings.listen, settings.listen_tls, settings.listen_srt, settings.listen_whip)
    return [address_text(one) for one in listeners if one is not None]


def viewers_addresses(settings: Settings, listening: Sequence[str]) -> Sequence[str]:
    """Where browsers watch: where that process listens, or is about to: it is not waited for."""
    listen = settings.listen_http
    is_coming = settings.web.is_enabled and listen.port != 0
    return listening or ([address_text(listen)] if is_coming else [])


def banner(
    version: str,
    run_dir: str,
    listen: Sequence[str],
    settings: Settings,
    fleet: Fleet,
    devices: Sequence[DeviceInfo],
    command: str = "tfarm",
    warning: str = "",
    *,
    viewers: Sequence[str] = (),
    pages: Sequence[str] = (),
    with_tls: Sequence[str] = (),
) -> str:
    """A few lines: where to watch, to publish and to play, and what it runs on.

    `command` is how a shell calls this tfarm; `warning` is what an operator had better change;
    `viewers` are the addresses for browsers, `pages` those of the API's page, `with_tls` those
    that take TLS.
    """
    lines = [f"tfarm {version} is running."]
    base = url_base(listen[0]) if listen else "rtmp://…"
    for address in viewers[:1]:
        for template in settings.templates:
            query = _query(play_rules(template))
            lines.append(f"  watch     {page_url(address, template.name, f'KEY{query}')}")
    for template in settings.templates:
        names = ", ".join(template.rendition_names())
        first = template.rendition_names()[0]
        query = _query(publish_rules(template))
        lines.append(f"  publish   {base}/{template.name}/KEY{query}")
        query = _query(play_rules(template))
        lines.append(f"  play      {base}/{template.name}/KEY/{first}{query}    ({names})")
    lines += [f"  with TLS  rtmps://{_shown_host(address)}/…" for address in with_tls]
    lines += _device_lines(settings, fleet, devices)
    lines.append(f"  status    {command} status --run-dir {run_dir}")
    lines += [f"  page      http://{_shown_host(address)}/" for address in pages]
    if warning:
        lines += ["", f"WARNING: {warning}."]
    return "\n".join(lines)


def page_url(address: str, app: str, key: str) -> str:
    """The page that plays a stream, of the server for viewers at this address."""
    return f"http://{_shown_host(address)}/play/{app}/{key}"


def _query(rules: Rules) -> str:
    """What has to stand behind an address, by the first rule that lets in there."""
    names = {Way.KEY: "key=…", Way.SIGNED: "token=…"}
    needed = [names[way] for way in rules[0] if way in names]
    return f"?{'&'.join(needed)}" if needed else ""


def _shown_host(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"{'HOST' if host in ANY_ADDRESS else host}:{port}"


def _device_lines(settings: Settings, fleet: Fleet, devices: Sequence[DeviceInfo]) -> list[str]:
    # A GPU once, with all its workers; those of the host's cores once, as they share them.
    cores = [device for device in devices if device.kind != "gpu"]
    by_name = {device.name: device for device in devices if device.kind == "gpu"}
    counts = Counter(device.name for device in devices)
    lines = []
    if cores:
        names = ", ".join(device.name for device in cores)
        share = "" if len(cores) == 1 else "share "
        lines.append(f"  device    {names}: {share}{cores[0].label} ({cores[0].path.value})")
    for name, device in by_name.items():
        several = f", {counts[name]} workers" if counts[name] > 1 else ""
        lines.append(f"  device    {name}: {device.label} ({device.path.value}{several})")
    if not devices:
        lines.append("  device    none is ready yet: see its status")
    lines += [f"  room      {line.removeprefix('room ')}" for line in room_lines(settings, fleet)]
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
