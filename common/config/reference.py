"""What is written from the declarations of the keys, for people and their editors. Pure.

A sample file, the tables of docs/configuration.md, and a JSON Schema; `tfarm config` prints the
first and the last, `make docs` writes the tables.
"""

import json
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from common.config.keys import HOLDS_MEAN, Declared, Table, Tables, facts, sentence
from common.config.ladder import Rendition
from common.config.model import File
from common.config.model_access import (
    HooksTable,
    LimitsTable,
    SigningTable,
    StreamKeysTable,
)
from common.config.model_calibration import CalibrationTable
from common.config.model_push import PushTable
from common.config.model_record import RecordTable
from common.config.model_remote import PullTable
from common.config.model_templates import RenditionTable, TemplateTable
from common.config.model_upload import UploadTable
from common.config.settings import DEFAULT_RENDITIONS
from common.config.values import Json

APP = "live"
WIDTH = 98

_TABLES = re.compile(r"<!-- ((?:keys of|when a key) .+?) -->\n.*?<!-- end -->", re.DOTALL)


def tables() -> dict[str, type[Table]]:
    """Every table, by its name in documents; the file's own keys are `the top`."""
    found: dict[str, type[Table]] = {"the top": File}
    for name, field in File.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Table):
            found[f"[{name}]"] = field.annotation
    return found | {
        "[templates.APP]": TemplateTable,
        "[templates.APP.limits]": LimitsTable,
        "[templates.APP.signing]": SigningTable,
        "[templates.APP.hooks]": HooksTable,
        "[templates.APP.record]": RecordTable,
        "[templates.APP.record.upload]": UploadTable,
        "[templates.APP.stream_keys.KEY]": StreamKeysTable,
        "[[templates.APP.renditions]]": RenditionTable,
        "[[templates.APP.push]]": PushTable,
        "[[calibration]]": CalibrationTable,
        "[[pull]]": PullTable,
    }


# ---- the sample file ---------------------------------------------------------------------------


def sample() -> str:
    """A file with every key: read as it is, it gives the default settings."""
    lines = _comment(
        "tfarm's configuration: every key with its default. A key without one to show is commented "
        "out, with an example. `tfarm check FILE` names every fault."
    )
    lines += ["#", *_comment("`Takes effect` says when a changed key does, after `tfarm reload`:")]
    for holds, meaning in HOLDS_MEAN.items():
        lines += _comment(f"- {holds.value}: {meaning}.")
    for name, table in tables().items():
        if table is RenditionTable:
            lines += _sample_ladder()
        elif table is CalibrationTable:
            about = "What a stream takes, as `tfarm calibrate` measured and wrote it."
            lines += _sample_array(name, table, about)
        elif table is PullTable:
            lines += _sample_array(name, table, "Streams that are fetched from elsewhere.")
        elif table is PushTable:
            about = "Others' servers that the streams of this app are sent to."
            lines += _sample_array(name.replace("APP", APP), table, about)
        elif table is StreamKeysTable:
            lines += _sample_stream_keys()
        else:
            if table is not File:
                lines.append("")
            if table.title:
                lines += _comment(sentence(table.title))
            if table is not File:
                lines.append(name.replace("APP", APP))
            lines += _sample_keys(table)
    return "\n".join(lines) + "\n"


def _sample_keys(table: type[Table]) -> Iterator[str]:
    for declared in table.declared():
        if isinstance(declared.kind, Tables):
            continue  # stands below, as tables
        yield ""
        yield from _about(declared)
        default = declared.raw_default()
        if default is None:
            yield f"#{declared.name} = {toml(declared.key.example)}"
        else:
            yield f"{declared.name} = {toml(default)}"


def _sample_ladder() -> Iterator[str]:
    yield ""
    yield from _comment("The ladder. Without it, this one; `renditions = []` passes streams on.")
    for index, rendition in enumerate(DEFAULT_RENDITIONS):
        if index:
            yield ""
        yield f"[[templates.{APP}.renditions]]"
        for declared in RenditionTable.declared():
            if index == 0:
                yield ""
                yield from _about(declared)
            elif not declared.is_needed and declared.name != "fps":
                continue  # said at the first
            value = _raw_of(rendition, declared)
            if value is None:
                yield f"#{declared.name} = {toml(declared.key.example)}"
            else:
                yield f"{declared.name} = {toml(value)}"


def _sample_stream_keys() -> Iterator[str]:
    yield ""
    yield from _comment(
        "Keys of single streams, beside the app's. For publishers alone a line of "
        f'[templates.{APP}.stream_keys] will do: cam1 = "cam1-secret".'
    )
    yield f"#[templates.{APP}.stream_keys.cam1]"
    for declared in StreamKeysTable.declared():
        yield ""
        yield from _about(declared)
        yield f"#{declared.name} = {toml(declared.key.example)}"


def _sample_array(name: str, table: type[Table], about: str) -> Iterator[str]:
    """An array of tables of which there are none at first."""
    yield ""
    yield from _comment(about)
    yield f"#{name}"
    for declared in table.declared():
        yield ""
        yield from _about(declared)
        default = declared.raw_default()
        yield f"#{declared.name} = {toml(declared.key.example if default is None else default)}"


def _raw_of(rendition: Rendition, declared: Declared) -> Any:
    value = getattr(rendition, declared.key.setting)
    return None if value is None and declared.key.default is None else declared.kind.write(value)


def _about(declared: Declared) -> list[str]:
    return [*_comment(sentence(declared.key.words)), *_comment(facts(declared))]


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


def toml(value: Any) -> str:
    """A value as TOML has it."""
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}"
    return json.dumps(value, ensure_ascii=False)  # texts, numbers, true and false are alike


# ---- the documents' tables ---------------------------------------------------------------------


def with_tables(document: str) -> str:
    """A document with its tables written anew, between their markers.

    Raises:
        ValueError: a table is missing there, or one is there that does not exist.
    """
    known = {f"keys of {name}": _rows(table) for name, table in tables().items()}
    known["when a key holds"] = [("takes effect", "means"), *HOLDS_MEAN.items()]
    named = _TABLES.findall(document)
    if sorted(named) != sorted(known):
        raise ValueError(f"the tables {named} in place of {list(known)}")

    def write(match: re.Match[str]) -> str:
        return f"<!-- {match[1]} -->\n{_markdown(known[match[1]])}<!-- end -->"

    return _TABLES.sub(write, document)


def _rows(table: type[Table]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("key", "default", "range", "meaning", "takes effect")]
    for declared in table.declared():
        name, key = f"`{declared.name}`", declared.key
        rows.append(
            (name, _shown_default(declared), declared.kind.range(), key.words, key.holds.value)
        )
    return rows


def _markdown(rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]) + "\n"


def _shown_default(declared: Declared) -> str:
    if declared.key.default_words:
        return declared.key.default_words
    return "needed" if declared.is_needed else f"`{toml(declared.raw_default())}`"


# ---- the schema --------------------------------------------------------------------------------


def json_schema() -> Json:
    """What an editor needs: JSON Schema, draft 2020-12."""
    schema = File.model_json_schema(schema_generator=_Generator)
    head = {"$schema": GenerateJsonSchema.schema_dialect, "title": "tfarm configuration"}
    return head | schema | {"title": head["title"]}


class _Generator(GenerateJsonSchema):
    """Pydantic's, without titles, and with the defaults that `Table` gives."""

    def default_schema(self, schema: Any) -> Json:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False
