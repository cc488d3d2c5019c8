"""The published outcome of judging one frame.

These classes are the schema: the JSON Schema and the AsyncAPI document are generated from them (see
`qc_worker.wire.schema`), so a docstring here is documentation for every consumer.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from qc_worker.domain.errors import Reason
from qc_worker.domain.frame import Position

SCHEMA_VERSION = "1.6"
MAX_DEFECTS = 32
"""Most regions that an inspection lists; its mask has all of them."""

_DOCUMENTED: dict[str, bool] = {"use_attribute_docstrings": True}


class Verdict(StrEnum):
    """Decision on what happens to the part."""

    PASS = "pass"  # noqa: S105  (a verdict, not a password)
    """Looks like the good samples of its line."""
    REJECT = "reject"
    """Too unusual; good frames should land here only at about the calibrated false-reject rate."""
    REVIEW = "review"
    """Grey zone: a person should look."""
    ERROR = "error"
    """The frame could not be judged; treat the part as not inspected."""
    NO_MODEL = "no_model"
    """The line has no model; treat the part as not inspected."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One connected region over the threshold, in pixels of the original image."""

    __pydantic_config__: ClassVar = _DOCUMENTED

    x: int
    """Left edge of the bounding box, pixels."""
    y: int
    """Top edge of the bounding box, pixels."""
    width: int
    """Width of the bounding box, pixels."""
    height: int
    """Height of the bounding box, pixels."""
    area_px: int
    """Area of the region, square pixels."""
    peak_score: float
    """Highest anomaly score inside the region."""


@dataclass(frozen=True, slots=True)
class Mask:
    """Defect mask in COCO's compressed run-length encoding; covers the whole image."""

    __pydantic_config__: ClassVar = _DOCUMENTED

    size: tuple[int, int]
    """Height and width of the mask; scale it to the image's size to overlay it."""
    counts: str
    """COCO compressed RLE, as pycocotools.mask.decode reads it."""


@dataclass(frozen=True, slots=True)
class StageTimings:
    """Milliseconds that the frame spent in each stage."""

    __pydantic_config__: ClassVar = _DOCUMENTED

    decode: float = 0.0
    """Decoding and preprocessing in a decode thread."""
    queue: float = 0.0
    """Waiting: for a decode thread, for the batch to fill, for the model to be free."""
    inference: float = 0.0
    """The batch's passes through backbone and heads."""
    postprocess: float = 0.0
    """Calibration, mask, defects, heatmap."""
    total: float = 0.0
    """Time from polling the record to handing over its inspection."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Outcome of judging one record of `images`; there is exactly one inspection for each record."""

    __pydantic_config__: ClassVar = _DOCUMENTED

    frame_id: str | None
    """The camera's id of the frame, else its position; null if its record could not be read."""
    line: str | None
    """Production line; null if neither header nor key names one."""
    camera: str | None
    """Camera; null if neither header nor key names one."""
    captured_at: datetime | None
    """Capture time, UTC: from the camera's header, else the record's timestamp; null if the header's time is invalid or
    ambiguous, see `notes`."""
    scored_at: datetime
    """Time of the verdict, UTC."""
    source: Position
    """Topic, partition and offset of the judged record."""
    verdict: Verdict
    """Decision on what happens to the part."""
    part: str | None = None
    """Serial number of the part, from the camera's header; null if the camera gave none."""
    reason: Reason | None = None
    """Reason why the frame could not be judged; null for pass, reject and review."""
    detail: str | None = None
    """Explanation of the reason in a sentence; null without a reason."""
    model_version: str | None = None
    """Version of the model that judged; null if none did."""
    precision: str | None = None
    """Number format of the model's arithmetic, `float32`, `bfloat16` or `float16`; null if no model judged."""
    score: float | None = None
    """Anomaly score of the image: the mean of its highest patch scores, without padding and ignored area."""
    p_value: float | None = None
    """Share of held-out good frames at least this unusual, conformal: (1 + count) / (n + 1)."""
    threshold: float | None = None
    """Threshold of the score; scores above it are rejected."""
    image_size: tuple[int, int] | None = None
    """Height and width of the original image after EXIF orientation, pixels."""
    defects: tuple[Defect, ...] = ()
    """Regions over the threshold, the 32 largest at most, largest first; empty for a pass."""
    mask: Mask | None = None
    """Pixels of all defects; null for a pass."""
    heatmap_key: str | None = None
    """Redis key of heatmap and thumbnail; null if none was cached."""
    late: bool = False
    """True if the verdict was made after the frame's deadline."""
    notes: tuple[str, ...] = ()
    """Headers of the frame that were ignored, one sentence each with the reason; the frame is judged all the same."""
    stage_ms: StageTimings = field(default_factory=StageTimings)
    """Milliseconds spent in each stage."""
    schema_version: str = SCHEMA_VERSION
    """Version of this schema; a new major number means that fields changed their meaning."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that is published for one record, together with its offset."""

    inspection: Inspection
    key: bytes | None
    dead_letter: "DeadLetter | None" = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The original record of a frame that could not be judged, with the reason."""

    source: Position
    key: bytes | None
    content: bytes
    headers: tuple[tuple[str, bytes], ...]
    reason: Reason
    detail: str
