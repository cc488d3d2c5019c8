"""Reads from a version's card.json which samples it was made from: all that readers without torch need of it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from qc_worker.domain.names import NAME_PATTERN, SHA256_PATTERN

Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN)]


class _Manifest(BaseModel, frozen=True):
    training: tuple[Sha256, ...]
    calibration: tuple[Sha256, ...]


class VersionSamples(BaseModel, frozen=True):
    """The part of a model card that states what the version was made from, and when; other fields are ignored."""

    samples: _Manifest
    created_at: datetime
    duration_s: float = Field(ge=0, allow_inf_nan=False, lt=1e9)
    head_of: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    """Version that was trained, if this one only has another threshold."""

    @property
    def ids(self) -> frozenset[str]:
        """SHA-256 of every frame that the head was fitted to or the threshold comes from."""
        return frozenset((*self.samples.training, *self.samples.calibration))

    @property
    def ended_at(self) -> datetime:
        """Return the time at which the training ended."""
        return self.created_at if self.created_at.tzinfo is not None else self.created_at.replace(tzinfo=UTC)

    @property
    def began_at(self) -> datetime:
        """Return the time at which the training began, after the last feedback was collected for it."""
        return self.ended_at - timedelta(seconds=self.duration_s)


def decode_version_samples(card: bytes) -> VersionSamples:
    """Read card.json. Raises ValueError."""
    try:
        return VersionSamples.model_validate_json(card)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
