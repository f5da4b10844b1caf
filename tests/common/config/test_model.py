"""The declarations of all keys against the settings they give."""

import dataclasses
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from common.config.access import Signing
from common.config.hooks import Hooks
from common.config.keys import Declared, Tables
from common.config.ladder import Rendition, Template
from common.config.limits import StreamLimits
from common.config.model import SECTIONS, File, Reading
from common.config.pushes import PushRule
from common.config.recording import Recording, Upload
from common.config.reference import tables
from common.config.settings import Calibration, Pull, Settings
from common.config.stream_keys import StreamKeys

ROOT = Path(__file__).parents[3]
KEYS = [
    pytest.param(declared, id=f"{name} {declared.name}")
    for name, table in tables().items()
    for declared in table.declared()
]
# Settings that are tables themselves, or come of a table's name.
WITHOUT_A_KEY = {
    (Template, "name"),
    (Template, "limits"),  # a table
    (Template, "signing"),  # likewise
    (Template, "hooks"),  # likewise
    (Template, "recording"),  # likewise
    (Recording, "upload"),  # likewise
    (StreamKeys, "limits"),  # likewise
    (Template, "needs_stream_key"),  # comes of the streams' keys
    (Pull, "is_added"),  # comes of a request
    (PushRule, "is_added"),  # likewise
    *((Settings, name) for name in (*SECTIONS, "templates", "calibration", "stream_keys", "pulls")),
}
WITH_TWO_KEYS = {(Template, "publish_keys"), (Template, "play_keys")}


def test_every_setting_has_its_key_and_no_key_is_for_nothing() -> None:
    keys = Counter(
        (declared.key.owner, declared.key.setting)
        for table in tables().values()
        for declared in table.declared()
    )
    owners: tuple[type[Any], ...] = (
        Settings,
        *SECTIONS.values(),
        Template,
        Rendition,
        StreamLimits,
        Signing,
        Hooks,
        StreamKeys,
        Calibration,
        Pull,
        PushRule,
        Recording,
        Upload,
        Reading,
    )
    settings = {(owner, field.name) for owner in owners for field in dataclasses.fields(owner)}
    assert set(keys) == settings - WITHOUT_A_KEY
    assert {setting for setting, count in keys.items() if count > 1} == WITH_TWO_KEYS


@pytest.mark.parametrize("declared", KEYS)
def test_a_default_or_else_an_example_can_be_written_and_is_read_again(declared: Declared) -> None:
    if isinstance(declared.kind, Tables):
        return
    raw = declared.raw_default()
    assert (raw is None) == (declared.key.example is not None)
    if raw is None:
        example = declared.key.example
        several = example.values() if declared.is_map else example
        for value in several if declared.is_map or declared.is_array else [example]:
            declared.kind.read(value)
    elif declared.is_array:
        assert tuple(map(declared.kind.read, raw)) == declared.key.default
    else:
        assert declared.kind.read(raw) == declared.key.default


@pytest.mark.parametrize("declared", KEYS)
def test_words_are_a_sentence_without_its_full_stop(declared: Declared) -> None:
    words = declared.key.words
    assert words == words.strip()
    assert not words.endswith(".")


def test_a_form_without_anything_is_the_built_in_farm() -> None:
    assert File.model_validate({}).all_settings() == Settings()


@pytest.mark.parametrize(
    "modules",
    [
        "ingest.run",
        "egress.run",
        "worker.run",
        "supervisor.run",
        "supervisor.__main__",
        "supervisor.commands.line.cli",
        "supervisor.commands.line.client",
        "supervisor.commands.status.table",
    ],
)
def test_only_what_reads_a_file_loads_pydantic(modules: str) -> None:
    """It takes a tenth of a second, and megabytes."""
    code = f"import sys, {modules}; print('pydantic' in sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )
    assert loaded.stdout.strip() == "False"
