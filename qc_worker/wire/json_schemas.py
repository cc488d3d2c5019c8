"""Generates the JSON Schemas of the messages in JSON from the domain's types."""

from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from qc_worker.domain.inspection import SCHEMA_VERSION
from qc_worker.domain.names import FRAME_ID_PATTERN, KIND_PATTERN, NAME_PATTERN, SHA256_PATTERN
from qc_worker.wire.json_types import COLLECTED, FEEDBACK, INSPECTION, RELEASE

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
COMPONENT_REF = "#/components/schemas/{model}"

_ADAPTERS: Final[dict[str, TypeAdapter[Any]]] = {
    "inspection": INSPECTION,
    "release": RELEASE,
    "feedback": FEEDBACK,
    "collected": COLLECTED,
}

# The decoders check these patterns in addition to the types.
_PATTERNS: Final = {
    "Release": {"line": NAME_PATTERN, "version": NAME_PATTERN},
    "Feedback": {
        "line": NAME_PATTERN,
        "frame_id": FRAME_ID_PATTERN,
        "model_version": NAME_PATTERN,
        "kind": KIND_PATTERN,
    },
    "Collected": {"line": NAME_PATTERN, "sample": SHA256_PATTERN},
}


def json_schemas() -> dict[str, Schema]:
    """Generate self-contained draft 2020-12 schemas, by name."""
    return {name: _document(name, adapter) for name, adapter in _ADAPTERS.items()}


def component_schemas() -> dict[str, Schema]:
    """Generate AsyncAPI components of the same types, by type name; references point into `#/components/schemas`."""
    components: dict[str, Schema] = {}
    for adapter in _ADAPTERS.values():
        schema = _schema(adapter, COMPONENT_REF)
        components |= schema.pop("$defs", {})
        components[schema["title"]] = schema
    return dict(sorted(components.items()))


def _document(name: str, adapter: TypeAdapter[Any]) -> Schema:
    # A URN, not an address: the schema is in the repository and in the package, not on a host.
    return {"$schema": DIALECT, "$id": f"urn:qc-worker:schema:{name}:{SCHEMA_VERSION}", **_schema(adapter)}


def _schema(adapter: TypeAdapter[Any], ref_template: str = "#/$defs/{model}") -> Schema:
    schema = adapter.json_schema(ref_template=ref_template, schema_generator=_Generator, mode="serialization")
    for name, pattern in _PATTERNS.get(schema["title"], {}).items():
        schema["properties"][name]["pattern"] = pattern
    return schema


class _Generator(GenerateJsonSchema):
    """Leaves out titles that only repeat the field's name, and keeps to keywords that draft 7 has too."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the signature is pydantic's
        return False

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        """Write a fixed-length tuple of one type without `prefixItems`, which AsyncAPI tools do not know."""
        written = super().tuple_schema(schema)
        members = written.get("prefixItems", [])
        if members and all(member == members[0] for member in members):
            del written["prefixItems"]
            written["items"] = members[0]
        return written
