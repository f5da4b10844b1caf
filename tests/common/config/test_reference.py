"""What is written from the declarations of the keys: a sample file, tables, a JSON Schema."""

import re
import tomllib
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from common.config import load as config
from common.config.keys import Tables
from common.config.ladder import RateControl
from common.config.model_calibration import CalibrationTable
from common.config.reference import json_schema, sample, tables, toml, with_tables
from common.config.settings import Settings
from tests.common.config.test_load import FAULTS, faults_of
from tests.common.config.test_model_calibration import CALIBRATION
from tests.kit.full_config import FULL

SCHEMA = Draft202012Validator(json_schema())
# Faults of FAULTS that JSON Schema has no words for: limits of durations and sizes written as
# texts, and what several keys say together.
BEYOND_A_SCHEMA = (
    "whose quality is measured",
    "may have a backup",
    "needs audio_levels",
    "needs api.tokens",
    "is the address of",
    "listen.https takes TLS",
    "must be a site",
    "must be an address",
    "where viewers' pages are",
    "where viewers of HLS find the sound",
    "is there already",
    "between 100ms and 1m",
    "250",
    "between 16k",
    "no such rendition",
    "is AV1",
    "be there",
    "has no pictures",
    "at least 1MiB",
    "no path and no query",
    "an absolute path",
    "between 0s and 1s",
    "between 1 and 240",
    "HOST:PORT",
    "a network",
    "stands before it",
    "devices.use_gpus = false",
    "a frame rate",
    "twice",
    "at least",
    "between",
    "listen.rtmp",
    'with codec = "av1"',
    'one with codec = "h264"',
    'is for codec = "h264"',
)


def test_the_sample_gives_the_default_settings() -> None:
    assert config.parse(tomllib.loads(sample())) == Settings()


def test_what_the_sample_leaves_out_can_be_taken_in() -> None:
    text = re.sub(r"(?m)^#(?=\w+ = |\[)", "", sample()).replace('rc = "cbr"', 'rc = "vbr"', 1)
    text = re.sub(r"(?m)^quality = .*\n", "", text)  # it is for another kind of rate control
    text = re.sub(r"(?m)^(backup|audio_levels) = false", r"\1 = true", text)  # which others need
    assert text.count("\n#\n") == 1  # what is left of comments is words
    found = config.parse(tomllib.loads(text))
    assert found.software.workers == 2
    assert found.devices.capacity == (("0000:65:00.0", 900.0),)
    assert found.templates[0].cost == 51
    assert found.templates[0].renditions[0].rate_control is RateControl.VBR
    assert found.templates[0].renditions[0].maxrate_bps == 3_750_000
    assert len(found.calibration) == 1
    assert SCHEMA.is_valid(tomllib.loads(text))


def test_the_sample_holds_every_key() -> None:
    written = re.findall(r"(?m)^#?(\w+) = ", sample())
    for table in tables().values():
        for declared in table.declared():
            assert declared.name in written or isinstance(declared.kind, Tables)


def test_the_full_file_of_the_tests_has_every_key_with_a_value_that_is_not_its_default() -> None:
    document = tomllib.loads(FULL)
    live = document["templates"]["live"]
    written = {
        "the top": document,
        "[templates.APP]": live,
        "[templates.APP.limits]": live["limits"],
        "[templates.APP.signing]": live["signing"],
        "[templates.APP.hooks]": live["hooks"],
        "[templates.APP.record]": live["record"],
        "[templates.APP.record.upload]": live["record"]["upload"],
        "[[templates.APP.renditions]]": dict(
            pair for one in live["renditions"] for pair in one.items()
        ),
        "[templates.APP.stream_keys.KEY]": live["stream_keys"]["cam1"],
        "[[pull]]": document["pull"][0],
        "[[templates.APP.push]]": live["push"][0],
    }
    for name, table in tables().items():
        if table is CalibrationTable:
            continue  # `tfarm calibrate` writes it, with a test of its own
        values = written.get(name, document.get(name.strip("[]"), {}))
        assert {one.name for one in table.declared()} - {"include"} <= set(values)
        for one in table.declared():
            assert values.get(one.name) != one.raw_default() or one.is_needed


def test_lines_of_the_sample_fit_a_screen() -> None:
    assert max(map(len, sample().splitlines())) <= 100


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a "b"', '"a \\"b\\""'),
        ([1, 2.5, True], "[1, 2.5, true]"),
        ({"a:b": 1}, '{ "a:b" = 1 }'),
        ([], "[]"),
    ],
)
def test_values_are_written_as_toml(value: Any, text: str) -> None:
    assert toml(value) == text
    assert tomllib.loads(f"x = {text}") == {"x": value}


def test_the_schema_is_one_and_accepts_what_is_good() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for good in (sample(), FULL, ""):
        assert list(SCHEMA.iter_errors(tomllib.loads(good))) == []
    assert SCHEMA.is_valid({"calibration": [CALIBRATION]})


@pytest.mark.parametrize(("text", "path", "words"), FAULTS)
def test_the_schema_refuses_what_the_check_refuses(text: str, path: str | None, words: str) -> None:
    if path is None:
        return
    document = tomllib.loads(text)
    if SCHEMA.is_valid(document):
        (problem,) = faults_of(text).values()
        assert any(beyond in problem for beyond in BEYOND_A_SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "[listen]\nrtmpp = 1",
        "[software]\nworkers = 65",
        "listen = 3",
        '[templates."a b"]',
        "[templates]",
        "[templates.live]\npolicy = []",
        '[templates.live]\npolicy = ["refuse", "refuse"]',
        '[templates.live]\ntakeover = "always"',
        "[templates.live.stream_keys]\ncam1 = 5",
        '[templates.live.stream_keys]\n"cam 1" = "a"',
        '[templates.live.stream_keys]\ncam1 = { publsh = "a" }',
        '[[templates.live.renditions]]\nname = "a"\nwidth = 640\nheight = 360',
        '[[templates.live.renditions]]\nname="source"\nwidth=640\nheight=360\nbitrate="1M"',
        '[[templates.live.renditions]]\nname="a"\nwidth=640\nheight=361\nbitrate="1M"',
        '[[templates.live.renditions]]\nname="a"\nwidth=640\nheight=360\nbitrate="1M"\nmaxrate="2M"',
        '[egress]\nqueue = "3"',
        '[listen]\nrtmp = "::1:1935"',
    ],
)
def test_the_schema_refuses_by_itself(text: str) -> None:
    assert not SCHEMA.is_valid(tomllib.loads(text))
    assert faults_of(text)


def test_the_schema_tells_an_editor_what_a_key_says_and_its_default() -> None:
    queue = json_schema()["$defs"]["EgressTable"]["properties"]["queue"]
    assert queue["default"] == "1s"
    assert queue["description"].startswith("Media that may wait for one player")
    assert "Range: 100ms to 1m. Takes effect: at once." in queue["description"]


def test_a_document_without_a_table_or_with_a_strange_one_is_told() -> None:
    with pytest.raises(ValueError, match="in place of"):
        with_tables("<!-- keys of [nothing] -->\n<!-- end -->")
