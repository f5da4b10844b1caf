"""A TOML file → `Settings`, checked whole: every fault with its key's path, none hides another.

`load` reads the file and those it includes (IO); `parse` is pure. An included file gives what the
including one does not say (`tfarm calibrate` writes such a file). What is not written keeps the
defaults of `common/config/settings.py`: an empty file is the built-in farm.

The keys are declared in `common/config/model.py`; here its faults are put into words. Keys given
in clear stand in no fault.
"""

import copy
import difflib
import platform
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.config.conflicts import conflicts
from common.config.settings import Settings
from common.errors import ConfigError, ConfigFault

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from common.config.model import File

Place = tuple[str | int, ...]  # the keys and indexes that lead to a value

MAX_FILE_BYTES = 1024 * 1024
MAX_ROUNDS = 8


def load(path: Path, shared: str = "") -> Settings:
    """The settings in a file.

    `shared`: the templates that all hosts of a cluster have (`shared_templates.py`).

    Raises:
        ConfigError: with every fault found; unreadable files are faults too.
    """
    return load_with_warnings(path, shared)[0]


def load_with_warnings(path: Path, shared: str = "") -> tuple[Settings, list[ConfigFault]]:
    """The settings in a file, and what is to be said of keys that it had better not have.

    Raises:
        ConfigError: as `load`.
    """
    from common.config.weak_keys import weak_keys

    document = _read_file(path)
    faults: list[ConfigFault] = []
    for index, name in enumerate(_includes(document, faults)):
        try:
            included = _read_file(path.parent / name)
        except ConfigError as error:
            faults += [ConfigFault(f"include[{index}]", f.problem) for f in error.faults]
            continue
        if "include" in included:
            faults.append(ConfigFault(f"include[{index}]", f"{name} must not include others"))
        document = _merge(document, included)
    if shared:
        from common.config.shared_templates import shared_document

        document = _merge(document, shared_document(shared))
    file, settings = _settings(document, faults)
    return settings, weak_keys(file)


def parse(document: Mapping[str, Any]) -> Settings:
    """The settings in a parsed TOML document without includes. Raises ConfigError."""
    return _settings(document, [])[1]


def _includes(document: Mapping[str, Any], faults: list[ConfigFault]) -> list[str]:
    """The names of further files; those that are no names are the model's faults."""
    from common.config.model import MAX_INCLUDES

    names = document.get("include", [])
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        return []
    if len(names) > MAX_INCLUDES:
        faults.append(ConfigFault("include", f"must be at most {MAX_INCLUDES} files"))
    return names[:MAX_INCLUDES]


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _fault(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise _fault(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _fault(f"{path} is no TOML: {error}") from error


def _fault(problem: str) -> ConfigError:
    return ConfigError([ConfigFault("", problem)])


def _merge(over: Mapping[str, Any], under: Mapping[str, Any]) -> dict[str, Any]:
    """Both; where both say something `over` holds, tables key by key."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = _merge(value, below)
        merged[key] = value
    return merged


def _settings(document: Mapping[str, Any], faults: list[ConfigFault]) -> "tuple[File, Settings]":
    """The file's form, and the settings that it gives."""
    file, found = _validated(document)
    faults += found
    settings = _with_host(file.all_settings())
    faults += conflicts(settings, [fault.path for fault in faults])
    if faults:
        raise ConfigError(faults)
    return file, settings


def _with_host(settings: Settings) -> Settings:
    """The same, with this host's own name where a cluster has none for it."""
    cluster = settings.cluster
    if not cluster.is_enabled or cluster.host:
        return settings
    return replace(settings, cluster=replace(cluster, host=platform.node()))


def _validated(document: Mapping[str, Any]) -> "tuple[File, list[ConfigFault]]":
    """The file's form, and its faults; what is faulty is left out of the form.

    So what is good can be looked at further, whatever else is wrong.
    """
    from pydantic import ValidationError

    from common.config.model import File

    faults: list[ConfigFault] = []
    left = dict(document)
    for _ in range(MAX_ROUNDS):
        try:
            return File.model_validate(left), faults
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        # What a round misses because of an earlier one's fault is no fault of its own.
        known = [fault.path for fault in faults]
        found = [ConfigFault(path_of(_place(one)), _problem(one)) for one in details]
        faults += [fault for fault in found if not is_touched(fault.path, known)]
        left = _without(left, details)
    raise AssertionError("leaving out what is faulty does not end")


def path_of(place: Place) -> str:
    """`templates.live.renditions[0].width`."""
    path = ""
    for step in place:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def is_touched(path: str, faulty: Iterable[str]) -> bool:
    """Say whether a path is one of the faulty ones, or lies inside one."""
    return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in faulty)


def _is_of_a_name(error: "ErrorDetails") -> bool:
    """Say whether the key itself is wrong, which only names of apps and streams can be."""
    return error["loc"][-1:] == ("[key]",) and error["type"] != "extra_forbidden"


def _place(error: "ErrorDetails") -> Place:
    return error["loc"][:-1] if _is_of_a_name(error) else error["loc"]


def _problem(error: "ErrorDetails") -> str:
    """What is wrong, in words that follow the key's path."""
    from common.config.keys import table_at
    from common.config.model import File

    place = error["loc"]
    match error["type"]:
        case "value_error":
            problem = str(error["ctx"]["error"])
            if not _is_of_a_name(error):
                return problem
            names = {"stream_keys": "a stream key", "signing": "a key id"}
            what = next((words for table, words in names.items() if table in place), "an app")
            return f"{what} {problem}"
        case "missing":
            return "is missing"
        case "extra_forbidden":
            table = table_at(File, place[:-1])
            known = list(table.model_fields) if table is not None else []
            near = difflib.get_close_matches(str(place[-1]), known, 1)
            return "is no known key" + (f'; did you mean "{near[0]}"?' if near else "")
        case "model_type" | "dict_type":
            return "must be a table"
        case "tuple_type":
            is_of_tables = table_at(File, (*place, 0)) is not None
            return "must be an array of tables" if is_of_tables else "must be an array"
        case "too_short":
            return "must hold at least one app"
    return error["msg"]


def _without(document: Mapping[str, Any], errors: "Iterable[ErrorDetails]") -> dict[str, Any]:
    """The document without its faulty keys; a needed one that is missing gets its example."""
    from common.config.keys import Key, table_at
    from common.config.model import File

    left = copy.deepcopy(dict(document))
    for error in errors:
        place = list(_place(error))
        if error["type"] == "missing":
            table = table_at(File, tuple(place[:-1]))
            declared = table.model_fields[str(place[-1])].json_schema_extra if table else None
            parent = _at(left, place[:-1])
            if isinstance(declared, Key) and isinstance(parent, dict):
                parent[place[-1]] = declared.example
            continue
        if isinstance(place[-1], int) and table_at(File, tuple(place)) is not None:
            parent = _at(left, place[:-1])  # an array of tables keeps its length
            if isinstance(parent, list):
                parent[place[-1]] = {}
            continue
        while isinstance(place[-1], int) or isinstance(_at(left, place[:-1]), str | list):
            place.pop()  # such as the key in `cam1 = ""`, which is read as a table's
        parent = _at(left, place[:-1])
        if isinstance(parent, dict):
            parent.pop(place[-1], None)
            if not parent and place[:-1] == ["templates"]:
                del left["templates"]
    return left


def _at(document: Any, place: Iterable[str | int]) -> Any:
    """What stands there; None where something on the way has gone."""
    here = document
    for step in place:
        if isinstance(step, int):
            here = here[step] if isinstance(here, list) and step < len(here) else None
        else:
            here = here.get(step) if isinstance(here, dict) else None
    return here
