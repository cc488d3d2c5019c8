"""Read a request's query into a dataclass whose fields are its parameters, and describe these for the document."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request

from qc_dashboard.api.adapters import adapter_of
from qc_dashboard.web.problems import Problem

T = TypeVar("T")
Schema = dict[str, Any]


def query_of(request: Request, kind: type[T]) -> T:
    """Parse the query. Raises Problem for what is unknown, given twice or no value of its field.

    Text that is empty counts as not given, as forms send it.
    """
    return query_in(request.query_params, kind)


def query_in(parameters: QueryParams, kind: type[T]) -> T:
    """Parse these parameters as `query_of` does those of a request. Raises Problem."""
    known = parameter_schemas(kind)
    given: dict[str, list[str]] = defaultdict(list)
    for name, text in parameters.multi_items():
        if name not in known:
            raise Problem(400, f"There is no parameter {name[:80]!r}; known are {', '.join(known) or 'none'}.")
        given[name].append(text)
    try:
        query: T = adapter_of(kind).validate_python({name: _value(name, known[name], given[name]) for name in given})
    except ValidationError as error:
        raise Problem(400, sentence_of(error)) from None
    return query


def parameter_schemas(kind: Any) -> Mapping[str, Schema]:
    """Return the JSON Schema of each parameter, with its description; null, which no query can hold, is left out."""
    return _schemas(kind)


def sentence_of(error: ValidationError) -> str:
    """Say what is wrong with the first wrong value."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in first["loc"] if not isinstance(step, str) or step.isidentifier())
    return f"{where or 'request'}: {first['msg'].removeprefix('Value error, ')}."


@cache
def _schemas(kind: Any) -> Mapping[str, Schema]:
    whole = adapter_of(kind).json_schema()
    shared = whole.get("$defs", {})
    described = _descriptions(kind)
    # A parameter such as `from` has another name in Python.
    fields = adapter_of(kind).json_schema(by_alias=False)["properties"]
    return {
        name: {**_without_null(schema, shared), "description": described[field]}
        for field, (name, schema) in zip(fields, whole["properties"].items(), strict=True)
    }


def _value(name: str, schema: Schema, texts: list[str]) -> str | list[str] | None:
    if schema.get("type") == "array":
        return texts
    if len(texts) > 1:
        raise Problem(400, f"The parameter {name} is given {len(texts)} times, once is expected.")
    return None if texts[0] == "" and _is_any_text(schema) else texts[0]


def _is_any_text(schema: Schema) -> bool:
    return schema.get("type") == "string" and not schema.keys() & {"format", "enum", "pattern"}


def _descriptions(kind: Any) -> dict[str, str]:
    """Return the docstring of each field; pydantic finds those of the class itself, not those of its bases."""
    found: dict[str, str] = {}
    for base in filter(is_dataclass, reversed(kind.__mro__)):
        properties = adapter_of(base).json_schema(by_alias=False)["properties"]
        found |= {name: properties[name].get("description", "") for name in base.__annotations__ if name in properties}
    return found


def _without_null(schema: Schema, shared: Mapping[str, Schema]) -> Schema:
    flat = dict(schema)
    for option in flat.pop("anyOf", []):
        if option.get("type") != "null":
            flat |= option
    if flat.get("default", ...) is None or flat.get("default") == []:
        del flat["default"]
    return _resolved(flat, shared)


def _resolved(schema: Schema, shared: Mapping[str, Schema]) -> Schema:
    """Put shared schemas, the enumerations, in the place of references to them."""
    flat = dict(schema)
    if reference := flat.pop("$ref", None):
        named = dict(shared[reference.rpartition("/")[2]])
        flat = {**named, **flat}
    if "items" in flat:
        flat["items"] = {k: v for k, v in _resolved(flat["items"], shared).items() if k != "description"}
    return flat
