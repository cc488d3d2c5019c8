"""Shapes of stored versions, of thresholds to compare, and of what promotes a version."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field

from qc_dashboard.api.shapes.documented import DOCUMENTED, STRICT
from qc_dashboard.api.shapes.models import LineModels
from qc_worker.domain.calibration import smallest_alpha
from qc_worker.domain.release import ReleaseAction
from qc_worker.domain.version import VersionCard
from qc_worker.thresholds.promise import promise

Name = Annotated[str, Field(max_length=64)]


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a version's card says."""

    __pydantic_config__: ClassVar = DOCUMENTED

    created_at: datetime
    """End of the training, UTC."""
    threshold: float
    """Scores above it are rejected."""
    review_threshold: float
    """Scores above it are at least reviewed; equal to `threshold` if nothing goes to review."""
    max_false_reject: float
    """Promised rate: at most this share of good frames is rejected."""
    false_reject_interval: tuple[float, float]
    """Interval of the rate of this threshold, 95 %."""
    smallest_max_false_reject: float
    """Lowest rate that so many held-out frames can promise."""
    review_rate: float | None
    """Share of good frames that goes to review or is rejected; null: nothing goes to review."""
    samples: int
    """Good frames, each counted once."""
    training_samples: int
    """Good frames that the head was fitted to."""
    calibration_samples: int
    """Good frames that the threshold comes from."""
    calibrate_by: str
    """`cross`: all frames, in folds; `split`: frames that no head was fitted to."""
    groups: int
    """Groups of the good frames; 0: they were taken one by one."""
    backbone: str
    """Frozen network."""
    input_size: tuple[int, int]
    """Height and width that enter the backbone, pixels."""
    tiles: int
    """Tiles that the input is cut into; 1: it is seen whole."""
    bit_depth: int
    """Bits that hold the brightness of a channel."""
    head_of: str | None
    """Version whose head this one shares; null: it has its own."""
    derived_from: str | None
    """Version of which this one is a copy with another threshold; null: it was trained."""
    duration_s: float
    """Duration of the training, seconds."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version in the model store."""

    __pydantic_config__: ClassVar = DOCUMENTED

    version: str
    """Model version."""
    is_live: bool
    """True if it was released last."""
    released_at: datetime | None
    """Last time that it was made live, UTC; null: never."""
    action: ReleaseAction | None
    """Action that made it live then; null: never."""
    figures: Mapping[str, float]
    """Figures of its evaluation that its release carries, such as `defect_recall`; may be empty."""
    card: CardFacts | None
    """Null if the card cannot be used."""
    problem: str | None
    """Reason why the card cannot be used; null if it can."""


@dataclass(frozen=True, slots=True)
class LineVersions:
    """All that is known of a line's versions."""

    __pydantic_config__: ClassVar = DOCUMENTED

    models: LineModels
    """What the history knows: releases, and what judges now."""
    live: str | None
    """Version that was released last, by the model store; null: none was."""
    rolls_back_to: str | None
    """Version that a rollback leads to; null: there is none."""
    versions: tuple[StoredVersion, ...]
    """Newest first, 50 at most, and the live one in any case."""
    left_out: int
    """Older versions that are not listed."""


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """A threshold, and what it would have done."""

    __pydantic_config__: ClassVar = DOCUMENTED

    threshold: float
    """Scores above it are rejected."""
    review_threshold: float
    """Scores above it are at least reviewed."""
    is_current: bool
    """True for the threshold that this version has."""
    max_false_reject: float
    """Promised rate: at most this share of good frames is rejected, on average over held-out sets."""
    interval: tuple[float, float]
    """Interval of the rate of this threshold, 95 %."""
    passed: int
    """Frames of the last ones that it would have passed."""
    reviewed: int
    """Frames that it would have sent to review."""
    rejected: int
    """Frames that it would have rejected."""
    good_rejected: int
    """Frames that people called good, and it would have rejected."""
    defects_passed: int
    """Frames that people called defective, and it would have passed."""


@dataclass(frozen=True, slots=True)
class ThresholdTable:
    """Thresholds of a version to compare."""

    __pydantic_config__: ClassVar = DOCUMENTED

    line: str
    """Production line."""
    version: str
    """Model version."""
    held_out: int
    """Good frames that the promises come from."""
    confidence: float
    """Confidence of the intervals."""
    counted: int
    """Last inspections that are counted: those of this version, and of versions with the same head."""
    other_models: int
    """Last inspections that were judged by other heads: their scores cannot be compared."""
    not_judged: int
    """Last inspections without a score."""
    good: int
    """Frames of the last 90 days that people called good, with comparable scores."""
    defects: int
    """Frames of the last 90 days that people called defective, with comparable scores."""
    rows: tuple[ThresholdRow, ...]
    """By ascending rate."""


@dataclass(frozen=True, slots=True)
class GivenRelease:
    """Confirmation, typed by an engineer, that a version shall go live."""

    __pydantic_config__: ClassVar = STRICT

    line: Name
    """The line's name once more."""
    version: Name
    """Version that shall go live; for a rollback the one that it leads to."""
    live: Name | None
    """Version that was live when the engineer decided; if another one is by now, nothing is changed."""


def card_facts(card: VersionCard) -> CardFacts:
    """Take from the card what people compare versions by."""
    calibration = card.calibration
    return CardFacts(
        created_at=card.created_at,
        threshold=calibration.threshold,
        review_threshold=calibration.review_threshold,
        max_false_reject=calibration.max_false_reject,
        false_reject_interval=promise(calibration).interval,
        smallest_max_false_reject=smallest_alpha(len(calibration.scores)),
        review_rate=calibration.review_rate,
        samples=card.samples,
        training_samples=card.training_samples,
        calibration_samples=card.calibration_samples,
        calibrate_by=card.calibrate_by,
        groups=card.groups,
        backbone=card.backbone,
        input_size=card.input_size,
        tiles=card.tiles,
        bit_depth=card.bit_depth,
        head_of=card.head_of,
        derived_from=card.derived_from,
        duration_s=card.duration_s,
    )
