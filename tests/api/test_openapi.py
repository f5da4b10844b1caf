"""The OpenAPI document has every operation of the table."""

import json
import re
from pathlib import Path

from api.openapi import describe
from api.operations import OPERATIONS
from common.version import VERSION

DOCUMENT = describe(OPERATIONS, VERSION)


def test_every_operation_is_in_it() -> None:
    found = {
        (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert found == {(o.method, o.path) for o in OPERATIONS}


def test_it_is_json_and_says_what_it_is() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
    assert (DOCUMENT["openapi"], DOCUMENT["info"]["version"]) == ("3.1.0", VERSION)


def test_reading_may_need_no_token_and_probes_need_none() -> None:
    paths = DOCUMENT["paths"]
    assert paths["/healthz"]["get"]["security"] == []
    assert {} in paths["/api/v1/status"]["get"]["security"]
    assert "401" in paths["/api/v1/status"]["get"]["responses"]


def test_a_farm_that_is_not_ready_says_why_in_the_same_form() -> None:
    responses = DOCUMENT["paths"]["/readyz"]["get"]["responses"]
    assert responses["503"]["content"] == responses["200"]["content"]


def test_the_page_of_the_api_has_every_path_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    documented = set(re.findall(r"`(?:(?:GET|POST|DELETE) )?(/(?:[a-zA-Z0-9_.]+/?)+)", page))
    named = {re.sub(r"\{(\w+)\}", lambda m: m[1].upper(), o.path) for o in OPERATIONS} - {"/"}
    assert {
        path.rstrip("/") for path in documented if path.count("/") > 1 or path in named
    } == named
