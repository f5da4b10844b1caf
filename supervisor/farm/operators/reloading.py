"""What a running farm takes of a configuration that was read again. Pure.

From when a key holds is declared with the key (`common/config/model.py`). Imported once a file was
read, since it needs pydantic.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from common.config.changes import changes, in_words, put_back
from common.config.keys import Holds
from common.config.settings import Settings
from supervisor.processes.worker_counts import encoder_processes, software_workers

# Of what a larger number holds at once: how many a farm has with these settings on so many cores.
COUNTS: dict[str, Callable[[Settings, int], int]] = {
    "api.enabled": lambda settings, _: int(settings.api.is_enabled),
    "web.enabled": lambda settings, _: int(settings.web.is_enabled),
    "webrtc.enabled": lambda settings, _: int(settings.webrtc.is_enabled),
    "software.workers": software_workers,
    "devices.encoder_processes": encoder_processes,
}


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The settings from now on."""

    settings: Settings
    words: str  # which keys have changed, and from when they hold
    kept: tuple[str, ...]  # the keys among them that hold only after a restart


def reloaded(before: Settings, loaded: Settings, cores: int) -> Reloaded:
    """`loaded`, but for what is decided at the start."""
    changed = changes(before, loaded)
    for index, change in enumerate(changed):
        if change.holds is Holds.MORE_NOW:
            count = COUNTS[change.path]
            is_fewer = count(loaded, cores) < count(before, cores)
            changed[index] = replace(change, holds=Holds.RESTART if is_fewer else Holds.NOW)
    waiting = [change for change in changed if change.holds is Holds.RESTART]
    settings = loaded
    for change in waiting:
        settings = put_back(settings, change, before)
    return Reloaded(
        settings,
        in_words(changed),
        tuple(change.path for change in waiting),
    )
