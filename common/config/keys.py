"""What is declared of a configuration key: its setting, its words, from when it holds. Pure.

`common/config/model.py` declares each key once, as a field of a `Table`; the check, the sample
file, the tables of docs/configuration.md, the JSON Schema and `tfarm reload` read it there.
"""

import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

from common.config.values import Choice, Json, Kind, Word

NO_DEFAULT = object()


class Holds(StrEnum):
    """From when a changed key holds, once `tfarm reload` has read it."""

    NOW = "at once"
    MORE_NOW = "more at once, fewer after a restart"
    NEW_STREAMS = "for new streams"
    NEW_PROCESSES = "for new processes"
    RESTART = "after a restart"


# What the words above mean, for whoever reads a sample file or the documents.
HOLDS_MEAN = {
    Holds.NOW: "also for what runs; what is checked as a connection begins, from the next one on",
    Holds.MORE_NOW: "a larger number at once, a smaller one at the farm's next start",
    Holds.NEW_STREAMS: "for streams that are published, or placed anew, from then on",
    Holds.NEW_PROCESSES: "for each process that is started from then on",
    Holds.RESTART: "at the farm's next start",
}


@dataclass(frozen=True)
class Key:
    """All that is declared of a key but its kind of value, which is the field's annotation.

    It is the field's `json_schema_extra`, so that pydantic carries it along.
    """

    owner: type[Any]  # the dataclass of common/config that has the setting
    setting: str  # its field there
    words: str
    holds: Holds
    default_words: str = ""  # where the default is found out, not given
    example: Any = None  # as the file has it, where there is no default to show
    schema: Json = field(default_factory=dict)  # what JSON Schema can say beside the kind's

    @property
    def default(self) -> Any:
        """The setting without the key; NO_DEFAULT where the key is needed."""
        (found,) = (f for f in dataclasses.fields(self.owner) if f.name == self.setting)
        if found.default is not dataclasses.MISSING:
            return found.default
        if found.default_factory is not dataclasses.MISSING:
            return found.default_factory()
        return NO_DEFAULT

    def __call__(self, schema: Json) -> None:
        """Pydantic's hook; `Table` adds what an editor shows, which needs the kind too."""


def key(
    owner: type[Any],
    setting: str,
    words: str,
    holds: Holds,
    *,
    default: str = "",
    example: Any = None,
    schema: Json | None = None,
) -> Any:
    """A key that may be left out: the setting keeps its default then.

    Args:
        owner: the dataclass of `common/config` that has the setting.
        setting: its field there.
        words: what the key says, a sentence without its full stop.
        holds: from when it holds after `tfarm reload`.
        default: in words, where it is found out.
        example: what the sample file shows where there is no default to show.
        schema: JSON Schema's keywords beside those of the kind.
    """
    declared = Key(owner, setting, words, holds, default, example, schema or {})
    return Field(default=None, json_schema_extra=declared)


def needed(
    owner: type[Any],
    setting: str,
    words: str,
    holds: Holds,
    *,
    example: Any,
    schema: Json | None = None,
) -> Any:
    """A key that must be there."""
    declared = Key(owner, setting, words, holds, "", example, schema or {})
    return Field(json_schema_extra=declared)


def tables(*, at_least: int = 0, schema: Json | None = None) -> Any:
    """A table, or an array or dictionary of tables, inside a table; it may be left out."""
    return Field(default=None, min_length=at_least or None, json_schema_extra=schema)


class Tables(Kind):
    """An array of tables, which are read as such."""

    def read(self, value: Any) -> Any:
        return value

    def schema(self) -> Json:
        return {"type": "array", "items": {"type": "object"}}

    def range(self) -> str:
        return "tables"


@dataclass(frozen=True)
class Declared:
    """A key with the name that the file gives it, and its kind."""

    name: str
    key: Key
    kind: Kind
    is_array: bool
    is_map: bool  # a table whose keys the operator names

    def raw_default(self) -> Any:
        """The default as the file would have it; None where it is needed or found out."""
        default = self.key.default
        if default is NO_DEFAULT or default is None or self.key.default_words:
            return None
        if self.is_map:
            return {name: self.kind.write(value) for name, value in default}
        if self.is_array:
            return [self.kind.write(item) for item in default]
        return self.kind.write(default)

    @property
    def is_needed(self) -> bool:
        return self.key.default is NO_DEFAULT and not self.key.default_words


class Table(BaseModel):
    """A TOML table: its fields are its keys, and what the file left out is not set."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    title: ClassVar[str] = ""  # behind the table's name, in documents
    schema_rules: ClassVar[Json] = {}  # what JSON Schema can say of several keys together

    @classmethod
    def declared(cls) -> list[Declared]:
        """Its keys, in order, without the tables inside it."""
        found = []
        for name, info in cls.model_fields.items():
            if isinstance(info.json_schema_extra, Key):
                kind, is_array, is_map = _kind(info.annotation, info.metadata)
                found.append(Declared(name, info.json_schema_extra, kind, is_array, is_map))
        return found

    def settings(self) -> dict[str, Any]:
        """What the file says, by the names of the settings."""
        return {
            declared.key.setting: getattr(self, declared.name)
            for declared in self.declared()
            if declared.name in self.model_fields_set
        }

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> Json:
        referring = handler(core)
        schema: Json = handler.resolve_ref_schema(referring)
        for declared in cls.declared():
            shown = schema["properties"][declared.name]
            shown.update(declared.key.schema)
            shown["description"] = description(declared)
            default = declared.raw_default()
            if default is not None:
                shown["default"] = default
        schema.pop("title", None)
        schema.update(cls.schema_rules)
        return dict(referring)


def description(declared: Declared) -> str:
    """All that is to be said of a key, in sentences."""
    return f"{sentence(declared.key.words)} {facts(declared)}"


def facts(declared: Declared) -> str:
    """A key's range, its default where that is no value, and from when it holds."""
    parts = []
    if declared.kind.range() and not isinstance(declared.kind, Tables):
        parts.append(f"{_range_word(declared)}: {declared.kind.range()}.")
    if declared.is_needed:
        parts.append("Needed.")
    if declared.key.default_words:
        parts.append(f"Default: {declared.key.default_words}.")
    return " ".join([*parts, f"Takes effect: {declared.key.holds.value}."])


def sentence(words: str) -> str:
    """Words with a capital letter and a full stop."""
    return f"{words[:1].upper()}{words[1:]}."


def _range_word(declared: Declared) -> str:
    word = "One of" if isinstance(declared.kind, Choice | Word) else "Range"
    return f"Each {word.lower()}" if declared.is_array or declared.is_map else word


def table_at(root: type[Table], place: tuple[str | int, ...]) -> type[Table] | None:
    """The table that stands at a place of the file's form; None where a value does."""
    here: Any = root
    for step in place:
        if _is_table(here):
            field = here.model_fields.get(str(step))
            here = field.annotation if field is not None else None
        elif get_args(here):
            here = get_args(here)[0 if get_origin(here) is tuple else -1]
        else:
            return None
    return here if _is_table(here) else None


def _is_table(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, Table)


def _kind(annotation: Any, metadata: list[Any]) -> tuple[Kind, bool, bool]:
    """A field's kind of value, and whether there is an array or a map of such values."""
    for item in metadata:
        if isinstance(item, Kind):
            return item, False, False
    is_array, is_map = get_origin(annotation) is tuple, get_origin(annotation) is dict
    inner = (*get_args(annotation), None)[0 if is_array else -2] if is_array or is_map else None
    if _is_table(inner):
        return Tables(), False, False
    if get_origin(inner) is Annotated:
        for item in get_args(inner):
            if isinstance(item, Kind):
                return item, is_array, is_map
    raise TypeError(f"no kind of value in {annotation}")
