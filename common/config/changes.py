"""Which keys two settings differ in, and from when each of them holds. Pure.

The keys and from when they hold are those that `common/config/model.py` declares.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from common.config.keys import Holds, Table
from common.config.ladder import Template
from common.config.model import SECTIONS, File, Reading
from common.config.model_access import HooksTable, LimitsTable, SigningTable
from common.config.model_record import RecordTable
from common.config.model_templates import TemplateTable
from common.config.model_upload import UploadTable
from common.config.settings import Settings
from common.config.stream_keys import StreamKeys

# The tables of a template that give one dataclass each: where the setting is, by the file's name.
_TABLES: dict[str, tuple[str, type[Table]]] = {
    "limits": ("limits", LimitsTable),
    "signing": ("signing", SigningTable),
    "hooks": ("hooks", HooksTable),
    "record": ("recording", RecordTable),
    "record.upload": ("recording.upload", UploadTable),
}


@dataclass(frozen=True, slots=True)
class Change:
    """A key whose value is another one now."""

    path: str
    holds: Holds
    section: str = ""  # the field of `Settings` that has the setting; "": it is one itself
    setting: str = ""


def changes(before: Settings, after: Settings) -> list[Change]:
    """The keys that have changed, in the order of the file."""
    found = [
        change
        for change in _settings()
        if _value(before, change.section, change.setting)
        != _value(after, change.section, change.setting)
    ]
    found += _of_templates(before, after)
    found += _of_stream_keys(before, after)
    if before.calibration != after.calibration:
        found.append(Change("calibration", Holds.NEW_STREAMS))
    if before.pulls != after.pulls:
        found.append(Change("pull", Holds.NOW))
    return found


def put_back(settings: Settings, change: Change, before: Settings) -> Settings:
    """`settings` with what `before` has for a key; not for templates, which wait for no restart."""
    value = _value(before, change.section, change.setting)
    if not change.section:
        return replace(settings, **{change.setting: value})
    section = replace(getattr(settings, change.section), **{change.setting: value})
    return replace(settings, **{change.section: section})


def in_words(changed: list[Change]) -> str:
    """`at once: egress.queue; after a restart: listen.rtmp`."""
    paths: dict[Holds, list[str]] = {}
    for holds in Holds:
        paths[holds] = [change.path for change in changed if change.holds is holds]
    parts = [f"{holds.value}: {', '.join(which)}" for holds, which in paths.items() if which]
    return "; ".join(parts) or "nothing has changed"


def _settings() -> Iterator[Change]:
    """Every key outside templates."""
    sections: list[tuple[str, type[Table]]] = [("", File)]
    for name, field in File.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Table):
            sections.append((name, field.annotation))
    for name, table in sections:
        for declared in table.declared():
            if declared.key.owner is not Reading:
                path = f"{name}.{declared.name}" if name else declared.name
                section = name if name in SECTIONS else ""
                yield Change(path, declared.key.holds, section, declared.key.setting)


def _value(settings: Settings, section: str, setting: str) -> Any:
    return getattr(getattr(settings, section) if section else settings, setting)


def _of_templates(before: Settings, after: Settings) -> Iterator[Change]:
    was = {template.name: template for template in before.templates}
    for template in after.templates:
        old = was.pop(template.name, None)
        path = f"templates.{template.name}"
        if old is None:
            yield Change(f"{path} (new)", Holds.NEW_STREAMS)
        else:
            yield from _of_template(old, template, path)
    for name in was:
        yield Change(f"templates.{name} (gone)", Holds.NEW_STREAMS)


def _of_stream_keys(before: Settings, after: Settings) -> Iterator[Change]:
    for stream in sorted(before.stream_keys.keys() | after.stream_keys.keys()):
        if before.stream_keys.get(stream) != after.stream_keys.get(stream):
            app, _, name = stream.partition("/")
            old, new = (s.stream_keys.get(stream, StreamKeys()) for s in (before, after))
            is_keys = (old.publish, old.play) != (new.publish, new.play)
            holds = Holds.NOW if is_keys else Holds.NEW_STREAMS  # limits are a placement's
            yield Change(f"templates.{app}.stream_keys.{name}", holds)


def _of_template(old: Template, new: Template, path: str) -> Iterator[Change]:
    seen: set[str] = set()
    for declared in TemplateTable.declared():
        setting = declared.key.setting
        if setting not in seen and getattr(old, setting) != getattr(new, setting):
            yield Change(f"{path}.{declared.name}", declared.key.holds)
        seen.add(setting)  # keys in clear and as digests are one setting
    for name, (place, table) in _TABLES.items():
        before, after = (attrgetter(place)(template) for template in (old, new))
        for declared in table.declared():
            setting = declared.key.setting
            if getattr(before, setting) != getattr(after, setting):
                yield Change(f"{path}.{name}.{declared.name}", declared.key.holds)
