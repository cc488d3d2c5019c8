"""Build the OpenAPI 3.1 document from the operations and the shapes of their answers.

https://spec.openapis.org/oas/v3.1.1
"""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from qc_dashboard.api.adapters import adapter_of
from qc_dashboard.api.describing.operation import JSON, Answer, Operation, Schema
from qc_dashboard.api.describing.problem import ProblemDetails
from qc_dashboard.api.parameters.queries import parameter_schemas
from qc_dashboard.web.csrf import HEADER as CSRF_HEADER
from qc_dashboard.web.failures import PROBLEM_JSON
from qc_dashboard.web.problems import title_of
from qc_worker.domain.names import NAME_PATTERN

VERSION = "1.0"
REFERENCE = "#/components/schemas/{model}"
DESCRIPTION = """What the dashboard's pages are made of. Requests carry the cookie of a session, as the sign-in page
sets it; those that write carry a CSRF token too. Without users, requests from the server's own machine need neither.
Failures are problem details (RFC 9457). Times are UTC. Unknown parameters are refused."""
ALWAYS = (400, 401, 403, 500, 503)
"""Failures that every route has."""
WRITING = (413, 415, 422)
PATH_PARAMETERS: dict[str, Schema] = {
    "line": {"type": "string", "maxLength": 64, "pattern": NAME_PATTERN},
    "version": {"type": "string", "maxLength": 64, "pattern": NAME_PATTERN},
    "topic": {"type": "string", "minLength": 1, "maxLength": 249, "pattern": "^[A-Za-z0-9._-]+$"},
    "partition": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    "offset": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
}
PATH_WORDS = {
    "line": "Production line.",
    "version": "Model version.",
    "topic": "Topic of the frame.",
    "partition": "Partition of the frame.",
    "offset": "Offset of the frame.",
}


def openapi_document(operations: Sequence[Operation]) -> Schema:
    """Build the document."""
    components = _Components()
    components.reference(ProblemDetails)
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.route.path, {})[operation.method] = _described(operation, components)
    return {
        "openapi": "3.1.1",
        "info": {"title": "qc-dashboard", "version": VERSION, "description": " ".join(DESCRIPTION.split())},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.schemas.items())),
            "securitySchemes": {
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "qc-session",
                    "description": "Cookie of a session. Over TLS it is called `__Host-qc-session`.",
                }
            },
        },
        "security": [{"session": []}],
    }


class _Components:
    """Schemas that several operations share."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}

    def reference(self, shape: Any) -> Schema:
        """Add the dataclass's schema and those that it needs; return a reference to it."""
        mode: Any = "validation" if hasattr(shape, "__pydantic_config__") and _is_sent(shape) else "serialization"
        schema = TypeAdapter(shape).json_schema(ref_template=REFERENCE, mode=mode)
        for name, shared in schema.pop("$defs", {}).items():
            self._add(name, shared)
        self._add(schema["title"], schema)
        return {"$ref": REFERENCE.format(model=schema["title"])}

    def _add(self, name: str, schema: Schema) -> None:
        described = _readable(schema)
        if self.schemas.setdefault(name, described) != described:
            raise ValueError(f"two shapes have the name {name}")


def _described(operation: Operation, components: _Components) -> Schema:
    described: Schema = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Needs the role {operation.least}." if operation.least else "Needs no session.",
        "parameters": _parameters(operation),
    }
    if operation.body is not None:
        content = {JSON: {"schema": components.reference(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    for shape in operation.also:
        components.reference(shape)
    described["responses"] = _responses(operation, components)
    return described


def _parameters(operation: Operation) -> list[Schema]:
    found = [
        {"name": name, "in": "path", "required": True, "description": PATH_WORDS[name], "schema": PATH_PARAMETERS[name]}
        for name in re.findall(r"{(\w+)}", operation.route.path)
    ]
    required = adapter_of(operation.query).json_schema().get("required", ())
    for name, schema in parameter_schemas(operation.query).items():
        parameter = _parameter(name, "query", schema)
        found.append({**parameter, "required": True} if name in required else parameter)
    headers = dict(operation.headers or {})
    if operation.route.writes:
        headers[CSRF_HEADER] = {"type": "string", "description": "CSRF token, as every page has it."}
    for name, schema in headers.items():
        found.append(_parameter(name, "header", schema))
    return found


def _parameter(name: str, place: str, schema: Schema) -> Schema:
    rest = {key: value for key, value in schema.items() if key not in {"description", "title"}}
    return {"name": name, "in": place, "description": _on_one_line(schema)["description"], "schema": rest}


def _responses(operation: Operation, components: _Components) -> Schema:
    answer = operation.answer
    failures = {*ALWAYS, *operation.failures, *(WRITING if operation.body is not None else ())}
    problem = {PROBLEM_JSON: {"schema": REFERENCE_TO_PROBLEM}}
    responses = {str(answer.status): _success(answer, components)}
    if 304 in failures:
        failures.remove(304)
        responses["304"] = {"description": "The picture is still the one of the given tag."}
    responses |= {str(code): {"description": title_of(code), "content": problem} for code in sorted(failures)}
    return responses


REFERENCE_TO_PROBLEM = {"$ref": REFERENCE.format(model=ProblemDetails.__name__)}


def _success(answer: Answer, components: _Components) -> Schema:
    response: Schema = {"description": answer.description}
    if answer.headers:
        response["headers"] = {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in answer.headers.items()
        }
    if answer.shape is bytes:
        response["content"] = {answer.media_type: {}}
    elif answer.shape is str:
        response["content"] = {answer.media_type: {"schema": {"type": "string"}}}
    else:
        response["content"] = {answer.media_type: {"schema": components.reference(answer.shape)}}
    return response


def _is_sent(shape: Any) -> bool:
    return bool(shape.__pydantic_config__.get("extra") == "forbid")


def _readable(schema: Schema) -> Schema:
    """Leave out titles that only repeat a field's name, and the line breaks of docstrings."""
    shown = _on_one_line(schema)
    if "properties" in schema:
        shown["properties"] = {
            name: {key: value for key, value in _on_one_line(field).items() if key != "title"}
            for name, field in schema["properties"].items()
        }
    return shown


def _on_one_line(schema: Schema) -> Schema:
    if "description" not in schema:
        return dict(schema)
    return {**schema, "description": " ".join(schema["description"].split())}
