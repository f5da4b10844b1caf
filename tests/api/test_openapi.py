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


PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
REQUEST = re.compile(r"`(GET|POST|DELETE) (/[^\s`?]*)")


def test_the_document_has_every_method_and_path_and_no_other() -> None:
    """The table of docs/api.md; what is asked for in the path is in capitals there."""
    documented = REQUEST.findall(PAGE)
    named = [(o.method, re.sub(r"\{(\w+)\}", lambda m: m[1].upper(), o.path)) for o in OPERATIONS]
    assert sorted(documented) == sorted(named)


def test_the_document_has_every_parameter_and_every_key_of_a_body() -> None:
    rows = {
        (method, path): row
        for row in PAGE.splitlines()
        if row.startswith("| `")
        for method, path in REQUEST.findall(row)
    }
    for operation in OPERATIONS:
        path = re.sub(r"\{(\w+)\}", lambda m: m[1].upper(), operation.path)
        row = rows[operation.method, path]
        body = operation.body or {}
        assert set(re.findall(r"\?(\w+)=", row)) == {p.name for p in operation.query}, path
        assert set(re.findall(r"\"(\w+)\": ", row)) == set(body.get("properties", {})), path
