"""The OpenAPI 3.1 document of the API, made of the table of operations. Pure."""

from collections.abc import Iterable
from typing import Final

from api import schemas
from api.access import Access
from api.operations import JSON, Operation, Parameter
from api.schemas import Json

_BEARER: Final = "token"
_TOKEN: Final[Json] = {_BEARER: []}


def describe(operations: Iterable[Operation], version: str) -> Json:
    """The document."""
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tfarm",
            "version": version,
            "description": "docs/api.md says who may ask, docs/status-json.md what fields mean.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                _BEARER: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "one of `api.tokens` in the configuration",
                }
            },
            "schemas": {"Error": schemas.ERROR},
        },
    }


def _operation(operation: Operation) -> Json:
    found: Json = {
        "operationId": operation.name,
        "summary": operation.words,
        "security": _security(operation.access),
        "responses": _responses(operation),
    }
    parameters = [
        *(_parameter(one, "path") for one in operation.in_path),
        *(_parameter(one, "query") for one in operation.query),
    ]
    if parameters:
        found["parameters"] = parameters
    if operation.body is not None:
        found["requestBody"] = {
            "required": "required" in operation.body,
            "content": {JSON: {"schema": operation.body}},
        }
    return found


def _security(access: Access) -> list[Json]:
    """The ways in: reading may need no token, where the farm is asked from its own host."""
    match access:
        case Access.OPEN:
            return []
        case Access.READ:
            return [{}, _TOKEN]
        case Access.CHANGE:
            return [_TOKEN]


def _parameter(parameter: Parameter, where: str) -> Json:
    return {
        "name": parameter.name,
        "in": where,
        "description": parameter.words,
        "required": where == "path" or parameter.is_needed,
        "schema": parameter.schema,
    }


def _responses(operation: Operation) -> Json:
    found: Json = {
        "200": {
            "description": operation.words,
            "content": {operation.content_type: {"schema": operation.answer}},
        }
    }
    failures = {400: "the request is not as it is described here"} | dict(operation.failures)
    if operation.access is not Access.OPEN:
        failures[401] = "a token is needed, or the one that was given is wrong"
    if operation.access is Access.CHANGE:
        failures[403] = "no token is configured, so nothing can be changed by HTTP"
    if operation.body is not None:
        failures |= {
            408: "the body did not come in time",
            413: "the body is too large",
            415: "the body is no JSON",
        }
    for status, words in sorted(failures.items()):
        is_probe = operation.access is Access.OPEN and status == 503
        schema = operation.answer if is_probe else {"$ref": "#/components/schemas/Error"}
        found[str(status)] = {"description": words, "content": {JSON: {"schema": schema}}}
    return found
