import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker

from qc_worker.domain.errors import Reason
from qc_worker.domain.feedback import Feedback
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import DeadLetter, Inspection, Verdict
from qc_worker.domain.release import Release
from qc_worker.settings import Settings
from qc_worker.transport.kafka.topics import plan_topics
from qc_worker.transport.outgoing import dead_letter_record, inspection_record
from qc_worker.wire.asyncapi import asyncapi_document
from qc_worker.wire.headers import INSPECTION_TYPE
from qc_worker.wire.images import encode_frame
from qc_worker.wire.json_schemas import json_schemas
from qc_worker.wire.json_types import encode_feedback, encode_inspection, encode_release
from qc_worker.wire.schema import documents, main
from tests.unit.wire.strategies import NOON, feedbacks, inspections, releases

REPOSITORY = Path(__file__).parents[3]
OFFICIAL = REPOSITORY / "tests/unit/schemas/asyncapi-3.0.0.json"
SCHEMAS = {
    name: Draft202012Validator(schema, format_checker=FormatChecker()) for name, schema in json_schemas().items()
}


@pytest.mark.parametrize("path", documents())
def test_committed_document_is_current(path: str) -> None:
    assert (REPOSITORY / "docs/reference" / path).read_text(encoding="utf-8") == documents()[path], "run `make docs`"


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_valid_draft_2020_12_and_readable_by_draft_7(name: str) -> None:
    schema = json_schemas()[name]
    Draft202012Validator.check_schema(schema)
    assert "prefixItems" not in json.dumps(schema)
    assert schema["$id"].startswith("urn:")


@given(inspections)
def test_every_inspection_validates(inspection: Inspection) -> None:
    SCHEMAS["inspection"].validate(json.loads(encode_inspection(inspection)))


@given(releases)
def test_every_release_validates(release: Release) -> None:
    SCHEMAS["release"].validate(json.loads(encode_release(release)))


@given(feedbacks)
def test_every_feedback_validates(feedback: Feedback) -> None:
    SCHEMAS["feedback"].validate(json.loads(encode_feedback(feedback)))


def test_schema_refuses_what_the_decoder_refuses() -> None:
    release = {"line": "../../etc", "version": "v1", "card_sha256": "", "threshold": 1.0, "released_at": "2026-01-02"}
    assert not SCHEMAS["release"].is_valid(release)
    assert not SCHEMAS["inspection"].is_valid({"verdict": "maybe"})


def test_every_field_of_an_inspection_is_described() -> None:
    schema = json_schemas()["inspection"]
    fields = schema["properties"] | schema["$defs"]["Defect"]["properties"] | schema["$defs"]["Mask"]["properties"]
    assert [name for name, field in fields.items() if not ({"description", "$ref"} & set(field))] == []


def test_asyncapi_document_validates_against_the_official_schema() -> None:
    official = json.loads(OFFICIAL.read_text(encoding="utf-8"))
    errors = [
        f"{error.json_path}: {error.message[:200]}" for error in Draft7Validator(official).iter_errors(_asyncapi())
    ]
    assert errors == []


def test_every_reference_of_the_asyncapi_document_resolves() -> None:
    document = _asyncapi()
    assert [reference for reference in _references(document) if not _resolves(document, reference)] == []


def test_every_topic_and_application_has_its_operations() -> None:
    document = _asyncapi()
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {"images", "results", "images.dlq", "feedback", "samples", "models"}
    applications = {tag["name"] for operation in document["operations"].values() for tag in operation["tags"]}
    assert applications == {"camera", "worker", "trainer", "dashboard"}


def test_models_is_compacted_and_the_rest_is_deleted_by_age() -> None:
    policies = {
        channel["address"]: channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"]
        for channel in _asyncapi()["channels"].values()
    }
    assert policies.pop("models") == ["compact"]
    assert all(policy == ["delete"] for policy in policies.values())


def test_topics_are_described_as_they_are_created() -> None:
    planned = plan_topics(
        images="images",
        results="results",
        dead_letters="images.dlq",
        feedback="feedback",
        samples="samples",
        models="models",
        partitions=Settings.model_fields["partitions"].default,
        replication_factor=Settings.model_fields["replication_factor"].default,
    )
    described = {channel["address"]: channel["bindings"]["kafka"] for channel in _asyncapi()["channels"].values()}
    for plan in planned:
        kafka = described[plan.name]
        assert (kafka["partitions"], kafka["replicas"]) == (plan.partitions, plan.replication_factor)
        assert kafka["topicConfiguration"]["cleanup.policy"] == plan.settings["cleanup.policy"].split(",")


def test_headers_of_a_published_inspection_and_dead_letter_are_as_described() -> None:
    messages = _asyncapi()["components"]["messages"]
    source = Position("images", 0, 5)
    judged = Inspection("f1", "A", "top", NOON, NOON, source, Verdict.ERROR, reason=Reason.EMPTY, detail="no bytes")
    refused = DeadLetter(source, b"A/top", b"", (), Reason.EMPTY, "no bytes")
    inspection = inspection_record("results", b"A/top", judged)
    letter = dead_letter_record("images.dlq", refused)
    _validate(messages["inspection"]["headers"], inspection.headers)
    _validate(messages["deadLetter"]["headers"], letter.headers)
    assert dict(inspection.headers)["ce_type"] == INSPECTION_TYPE.encode()


def test_headers_of_an_encoded_frame_fit_exactly_one_of_the_two_messages() -> None:
    messages = _asyncapi()["components"]["messages"]
    encoded = encode_frame(b"x", line="A", camera="top", captured_at=NOON)
    cloud_event = {name: raw.decode() for name, raw in encoded.headers}
    plain = {"line": "A", "camera": "top"}
    fits = [
        [
            name
            for name in ("cloudEventFrame", "plainFrame")
            if Draft7Validator(messages[name]["headers"]).is_valid(sent)
        ]
        for sent in (cloud_event, plain)
    ]
    assert fits == [["cloudEventFrame"], ["plainFrame"]]


def test_check_names_a_stale_document_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--docs", str(tmp_path)]) == 0
    assert main(["--check", "--docs", str(tmp_path)]) == 0
    (tmp_path / "asyncapi.json").write_text("{}")
    assert main(["--check", "--docs", str(tmp_path)]) == 1
    assert "asyncapi.json is stale" in capsys.readouterr().err
    assert (tmp_path / "asyncapi.json").read_text() == "{}"


def _asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(asyncapi_document()))
    return document


def _validate(headers_schema: dict[str, Any], headers: Sequence[tuple[str, bytes]]) -> None:
    Draft7Validator(headers_schema).validate({name: raw.decode() for name, raw in headers})


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [reference for child in node.values() for reference in _references(child)]
    return [reference for child in node for reference in _references(child)] if isinstance(node, list) else []


def _resolves(document: dict[str, Any], reference: str) -> bool:
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        if part not in node:
            return False
        node = node[part]
    return True
