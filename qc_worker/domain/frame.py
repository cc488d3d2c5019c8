"""Identifies records by their position, and holds a record as polled and the frame that it carries."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from qc_worker.domain.names import CameraName, FrameId, LineName, PartNumber


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Topic, partition and offset of a record: the one identity of a frame that nobody can forge."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Parse `topic:partition:offset`, as `str` writes it. Raises ValueError."""
        topic, *numbers = text.rsplit(":", 2)
        if not topic or len(numbers) != 2 or not all(n.isascii() and n.isdigit() and len(n) < 19 for n in numbers):
            raise ValueError(f"{text[:300]!r} is not a position: expected topic:partition:offset")
        return cls(topic, int(numbers[0]), int(numbers[1]))

    @property
    def topic_partition(self) -> Partition:
        return Partition(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class ImageMessage:
    """A frame as a camera sends it: wrapped for `images`, without a position yet."""

    key: bytes | None
    content: bytes
    headers: list[tuple[str, bytes]]


Offsets = Mapping[Partition, int]
"""The next offset to read, by partition (Kafka's meaning of a committed offset)."""


@dataclass(frozen=True, slots=True)
class Record:
    """A message as polled, nothing checked yet. A tombstone has empty `content`."""

    position: Position
    key: bytes | None
    content: bytes
    headers: tuple[tuple[str, bytes], ...]
    appended_at: datetime
    crashes: int = 0
    """Number of processes known to have died with this record in flight."""
    unreadable: str | None = None
    """Reason why it could not be read from the topic; `content` then holds the part that could be kept. None: it is
    readable."""


class IgnoredHeader(NamedTuple):
    """An optional header that could not be used: its name and the reason."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"header {self.name} ignored: {self.why}"


@dataclass(frozen=True, slots=True)
class Frame:
    """A camera's picture with its names checked; `content` is still encoded."""

    position: Position
    line: LineName
    camera: CameraName
    frame_id: FrameId
    captured_at: datetime | None
    """Capture time from the header, else the record's time; None if the header's time is invalid or ambiguous."""
    content: bytes
    part: PartNumber | None = None
    """Serial number of the part on the picture; None: the camera does not know it."""
    traceparent: str | None = None
    deadline_ms: int | None = None
    """Milliseconds after capture within which the verdict is wanted; None: no deadline."""
    ignored: tuple["IgnoredHeader", ...] = ()
