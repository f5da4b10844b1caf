"""The templates that all hosts of a cluster have from one place: what such a text may hold. Pure.

It is read as a file that a host's own one includes: what that says holds, key by key. It stands in
etcd, in its backups and in its log, so it may hold no secret in clear.
"""

import tomllib
from typing import Any, Final

from common.errors import ConfigError, ConfigFault

MAX_BYTES: Final = 256 * 1024
_TABLE: Final = "templates"
_SECRET: Final = "holds secrets, which must not stand in etcd: give it in each host's own file"  # nosec B105 # words
_CLEAR: Final = "must not stand in etcd in clear: give {key}_sha256"
# What of a template is a secret, by its path there, and what is said of it.
_SECRETS: Final = {
    ("publish_keys",): _CLEAR,
    ("play_keys",): _CLEAR,
    ("stream_keys",): _SECRET,
    ("signing", "keys"): _SECRET,
    ("hooks", "secret"): _SECRET,
}


def shared_document(text: str) -> dict[str, Any]:
    """The tables of a text, which are further checked with a host's own.

    Raises:
        ConfigError: it is none, or it holds what it must not.
    """
    if len(text.encode()) > MAX_BYTES:
        raise ConfigError([ConfigFault("", f"is larger than {MAX_BYTES} bytes")])
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError([ConfigFault("", f"is no TOML: {error}")]) from error
    faults = [
        ConfigFault(name, f"is a host's own: only [{_TABLE}.APP] is for all hosts")
        for name in document
        if name != _TABLE
    ]
    templates = document.get(_TABLE, {})
    if isinstance(templates, dict):
        for app, template in templates.items():
            for path, words in _SECRETS.items():
                if _is_there(template, path):
                    where = ".".join((_TABLE, app, *path))
                    faults.append(ConfigFault(where, words.format(key=path[-1])))
    if faults:
        raise ConfigError(faults)
    return document


def _is_there(table: Any, path: tuple[str, ...]) -> bool:
    for step in path:
        if not isinstance(table, dict) or step not in table:
            return False
        table = table[step]
    return bool(table)
