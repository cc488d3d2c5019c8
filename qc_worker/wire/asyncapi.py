"""Builds the AsyncAPI 3.0 document (who sends what on which topic) from the same types as the messages.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from dataclasses import dataclass
from typing import Literal

from qc_worker.domain.errors import Reason
from qc_worker.domain.inspection import SCHEMA_VERSION
from qc_worker.domain.names import FRAME_ID_PATTERN, MAX_PART_CHARACTERS, NAME_PATTERN
from qc_worker.settings import Settings
from qc_worker.wire.dead_letters import DETAIL_HEADER, REASON_HEADER, SOURCE_HEADER
from qc_worker.wire.headers import CONTENT_BYTES_HEADER, INSPECTION_TYPE
from qc_worker.wire.images import EVENT_TYPE
from qc_worker.wire.json_schemas import COMPONENT_REF, Schema, component_schemas

KAFKA_BINDING = "0.5.0"

CAMERA_KEY: Schema = {
    "type": "string",
    "pattern": f"{NAME_PATTERN[:-1]}/{NAME_PATTERN[1:]}",
    "description": "`line/camera`: a camera's frames share a partition and so stay in order.",
}
LINE_KEY: Schema = {"type": "string", "pattern": NAME_PATTERN, "description": "The production line."}

PART: Schema = {
    "type": "string",
    "maxLength": MAX_PART_CHARACTERS,
    "description": "Serial number of the part, printable characters; the inspection carries it.",
}


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic: its setting, its messages, and True in `compacted` if it keeps only the newest record of each key."""

    name: str
    setting: str
    description: str
    messages: tuple[str, ...]
    compacted: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """Action of one application on a channel."""

    application: str
    action: Literal["send", "receive"]
    channel: str
    summary: str
    group: str | None = None


CHANNELS = (
    Channel("images", "images_topic", "Encoded frames from cameras.", ("cloudEventFrame", "plainFrame")),
    Channel("results", "results_topic", "One inspection for every record on `images`.", ("inspection",)),
    Channel("deadLetters", "dead_letter_topic", "Records that could not be judged.", ("deadLetter",)),
    Channel(
        "feedback",
        "feedback_topic",
        "People's verdicts on frames; of several on one frame the latest counts.",
        ("feedback",),
    ),
    Channel("samples", "samples_topic", "What the trainer made of each verdict of a person.", ("collected",)),
    Channel("models", "models_topic", "The newest release of every line.", ("release",), compacted=True),
)

OPERATIONS = (
    Operation("camera", "send", "images", "Send a frame; in order per camera."),
    Operation("worker", "receive", "images", "Judge frames; workers of one group share them.", group="consumer_group"),
    Operation("worker", "send", "results", "Publish the inspection of a frame."),
    Operation("worker", "send", "deadLetters", "Publish a record that could not be judged."),
    Operation("worker", "receive", "models", "Swap in the models of new releases between two batches."),
    Operation(
        "trainer",
        "receive",
        "feedback",
        "Keep judged frames as samples, and withdraw those that a person is unsure of.",
    ),
    Operation("trainer", "receive", "images", "Read accepted frames back by position; commits nothing."),
    Operation("trainer", "send", "samples", "Say if a verdict made its frame a sample."),
    Operation("trainer", "send", "models", "Announce that a version is live."),
    Operation("dashboard", "receive", "results", "Show verdicts, defects and heatmaps."),
    Operation("dashboard", "receive", "models", "Show which version judges a line."),
    Operation("dashboard", "receive", "feedback", "Show who judged a frame, and how."),
    Operation("dashboard", "receive", "samples", "Show what became of each judgement."),
    Operation("dashboard", "send", "feedback", "Say if a frame is good, has a defect, or cannot be judged."),
)


def asyncapi_document() -> Schema:
    """Build the whole document, ready for JSON."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:qc-worker:asyncapi",
        "info": _about(),
        "defaultContentType": "application/json",
        "servers": {"kafka": {"host": _default("kafka_bootstrap_servers"), "protocol": "kafka"}},
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {_operation_id(operation): _operation(operation) for operation in OPERATIONS},
        "components": {"messages": _messages(), "schemas": component_schemas()},
    }


def _about() -> Schema:
    return {
        "title": "qc-worker",
        "version": SCHEMA_VERSION,
        "description": (
            "Camera frames in, inspections out. Topic names, partitions and the server are the defaults; "
            "all of them are settings. Unknown JSON fields must be ignored: a minor version may add some."
        ),
        "license": {"name": "Apache-2.0"},
    }


def _channel(channel: Channel) -> Schema:
    return {
        "address": _default(channel.setting),
        "description": channel.description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in channel.messages},
        "bindings": {"kafka": _topic_binding(channel)},
    }


def _topic_binding(channel: Channel) -> Schema:
    return {
        "partitions": 1 if channel.compacted else _default("partitions"),
        "replicas": _default("replication_factor"),
        "topicConfiguration": {"cleanup.policy": ["compact" if channel.compacted else "delete"]},
        "bindingVersion": KAFKA_BINDING,
    }


def _operation_id(operation: Operation) -> str:
    channel = operation.channel[0].upper() + operation.channel[1:]
    return f"{operation.application}{operation.action.capitalize()}s{channel}"


def _operation(operation: Operation) -> Schema:
    described: Schema = {
        "action": operation.action,
        "channel": {"$ref": f"#/channels/{operation.channel}"},
        "summary": operation.summary,
        "tags": [{"name": operation.application}],
    }
    if operation.group:
        group = {"type": "string", "const": _default(operation.group)}
        described["bindings"] = {"kafka": {"groupId": group, "bindingVersion": KAFKA_BINDING}}
    return described


def _messages() -> dict[str, Schema]:
    return {
        "cloudEventFrame": _frame("A frame as a CloudEvent in Kafka's binary mode", _cloud_event_headers()),
        "plainFrame": _frame("A frame with plain headers", _plain_headers()),
        "deadLetter": _frame("The original record, with the reason added as headers", _dead_letter_headers()),
        "inspection": _json_message("Inspection", key=CAMERA_KEY) | {"headers": _inspection_headers()},
        "feedback": _json_message("Feedback", key=LINE_KEY),
        "collected": _json_message("Collected", key=LINE_KEY),
        "release": _json_message("Release", key=LINE_KEY),
    }


def _frame(title: str, headers: Schema) -> Schema:
    return {
        "title": title,
        "contentType": "application/octet-stream",
        "headers": headers,
        "payload": {"type": "string", "format": "binary", "description": "The encoded image: JPEG, PNG, TIFF, ..."},
        "bindings": _key_binding(CAMERA_KEY),
    }


def _json_message(model: str, *, key: Schema) -> Schema:
    return {"title": model, "payload": {"$ref": COMPONENT_REF.format(model=model)}, "bindings": _key_binding(key)}


def _key_binding(key: Schema) -> Schema:
    # Repeated in each message: the official schema's `oneOf` refuses a reference here.
    return {"kafka": {"key": key, "bindingVersion": KAFKA_BINDING}}


def _cloud_event_headers() -> Schema:
    required = {
        **_envelope(EVENT_TYPE, source="/lines/A/cameras/top"),
        "ce_id": {"type": "string", "pattern": FRAME_ID_PATTERN, "description": "The frame id."},
    }
    optional = {"ce_time": _stamp("Capture time"), "ce_subject": PART} | _name_headers()
    return {"type": "object", "required": list(required), "properties": required | optional}


def _inspection_headers() -> Schema:
    required = {
        **_envelope(INSPECTION_TYPE, source="/topics/images"),
        "ce_id": {"type": "string", "description": "`topic:partition:offset` of the judged record."},
        "ce_time": {"type": "string", "format": "date-time", "description": "Time of the verdict."},
        "content-type": {"type": "string", "const": "application/json"},
    }
    return {"type": "object", "required": list(required), "properties": required}


def _envelope(event_type: str, *, source: str) -> dict[str, Schema]:
    return {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_source": {"type": "string", "examples": [source]},
        "ce_type": {"type": "string", "examples": [event_type]},
    }


def _plain_headers() -> Schema:
    own = {
        "frame-id": {
            "type": "string",
            "pattern": FRAME_ID_PATTERN,
            "description": "The frame id; without it the frame is named by its position.",
        },
        "captured-at": _stamp("Capture time; without it the record's timestamp counts"),
        "part": PART,
    }
    return {"type": "object", "properties": own | _name_headers(), "not": {"required": ["ce_specversion"]}}


def _name_headers() -> dict[str, Schema]:
    return {
        "line": {"type": "string", "pattern": NAME_PATTERN, "description": "The line; without it the key's."},
        "camera": {"type": "string", "pattern": NAME_PATTERN, "description": "The camera; without it the key's."},
        "content-type": {"type": "string", "description": "Not needed: the image's own bytes say what it is."},
        "traceparent": {"type": "string", "description": "W3C trace context."},
    }


def _stamp(what: str) -> Schema:
    return {"type": "string", "description": f"{what}: ISO 8601 with an offset, or milliseconds since 1970."}


def _dead_letter_headers() -> Schema:
    added = {
        REASON_HEADER: {"type": "string", "enum": [str(reason) for reason in Reason]},
        DETAIL_HEADER: {"type": "string", "description": "The reason in a sentence."},
        SOURCE_HEADER: {"type": "string", "description": "`topic:partition:offset` of the original record."},
    }
    cut = {"type": "string", "description": "Bytes of the original frame, if it was too large and is truncated."}
    return {"type": "object", "required": list(added), "properties": added | {CONTENT_BYTES_HEADER: cut}}


def _default(setting: str) -> str | int:
    default: str | int = Settings.model_fields[setting].default
    return default
