"""card.json: the description of a model, everything but its weights."""

import json
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.errors import ModelError
from qc_worker.domain.inspection import Mask
from qc_worker.domain.names import NAME_PATTERN, SHA256_PATTERN, line_name
from qc_worker.imaging.aspect import BIT_DEPTHS
from qc_worker.imaging.run_lengths import decode_mask
from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.simplenet.head_shape import HeadShape, check_shape
from qc_worker.simplenet.spec import EmbeddingSpec
from qc_worker.simplenet.tiles import MAX_TILES

MIN_INPUT_SIZE, MAX_INPUT_SIZE = 32, 2048
MAX_PATCH_SIZE = 15
MAX_REASON = 200
"""Most characters of a card's error that are quoted; it may hold numbers of any length."""
EARLIER_SCHEMAS = ("1.0",)
"""Schemas of cards with other fields: their models must be retrained."""

Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
CellCount = Annotated[int, Field(ge=1, le=MAX_INPUT_SIZE)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class SampleManifest(_Part):
    """SHA-256 of every frame that the model was made from."""

    training: tuple[Sha256, ...]
    """Frames that the head was fitted to."""
    calibration: tuple[Sha256, ...]
    """Frames that the threshold comes from, each judged by a head that was not fitted to it."""
    calibrate_by: Literal["cross", "split"] = "split"
    """cross: all frames, in folds; split: frames that no head was fitted to."""
    group_by: Literal["folder", "session", "none"] = "none"
    """Rule that grouped the good frames."""
    groups: dict[Name, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Number of good frames in each group; empty if frames were taken one by one."""


class Software(_Part):
    """Versions of the packages that compute the scores."""

    torch: str = Field(default_factory=lambda: version("torch"))
    timm: str = Field(default_factory=lambda: version("timm"))
    pillow: str = Field(default_factory=lambda: version("pillow"))


class ModelCard(_Part):
    """A model's description, checked whenever it is read."""

    schema_version: Literal["2.0"] = "2.0"
    """Another major number means that fields changed their meaning."""
    line: Name
    """Production line."""
    version: Name
    """Model version; sorts by time."""
    embedding: EmbeddingSpec
    """Steps from decoded frame to embedding."""
    head: HeadShape
    """Size of each part of the head."""
    cost: float = Field(default=1.0, gt=0)
    """Pixels of a frame that the backbone sees, overlaps of tiles included; 1: those of a 256 x 256 input."""
    input_size_reason: str = Field(default="", max_length=300)
    """Reason for the embedding's input size; empty for models made before this field."""
    bit_depth_reason: str = Field(default="", max_length=300)
    """Reason for the embedding's bit depth; empty for models made before this field."""
    ignored: Mask | None = None
    """Parts of the picture that are not judged, at the embedding's input size; null: all of it is judged."""
    head_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """SHA-256 of head.safetensors; set when the model is saved."""
    head_of: Name | None = None
    """Version of the same line whose head.safetensors this version shares; null: its folder has its own."""
    derived_from: Name | None = None
    """Version of which this one is a copy with another threshold; null: it was trained."""
    calibration: Calibration
    """Scores of the held-out good frames, and the rates promised."""
    samples: SampleManifest
    """Samples that the model was made from."""
    training: FitSettings
    """Settings that the head was fitted with."""
    seed: int
    """Seed of all random choices."""
    duration_s: float = Field(ge=0)
    """Duration of the training, features included."""
    created_at: datetime
    """Time of the training's end, UTC."""
    software: Software = Field(default_factory=Software)
    """Versions of the packages that computed the scores."""

    @field_validator("embedding")
    @classmethod
    def _can_be_computed(cls, spec: EmbeddingSpec) -> EmbeddingSpec:
        within = all(MIN_INPUT_SIZE <= side <= MAX_INPUT_SIZE for side in spec.input_size)
        if not (within and 1 <= spec.patch_size <= MAX_PATCH_SIZE):
            raise ValueError(f"no embedding has input_size {spec.input_size} and patch_size {spec.patch_size}")
        for levels in (spec.levels, spec.mask_levels):
            if not all(stride >= 1 for stride in levels):
                raise ValueError(f"no embedding has levels {levels}")
        if spec.grid_stride not in spec.levels:
            raise ValueError(f"grid_stride {spec.grid_stride} is none of the levels {spec.levels}")
        if spec.bit_depth not in BIT_DEPTHS:
            raise ValueError(f"bit_depth: one of {BIT_DEPTHS}, not {spec.bit_depth}")
        if not 1 <= spec.tiles <= MAX_TILES:
            raise ValueError(f"tiles: 1 to {MAX_TILES}, not {spec.tiles}")
        _ = spec.cost  # raises ValueError if the input cannot be cut into so many tiles
        return spec

    @model_validator(mode="after")
    def _head_fits(self) -> Self:
        check_shape(self.head)
        if len(self.head.level_channels) != len(self.embedding.levels):
            raise ValueError(f"a head of {len(self.head.level_channels)} levels for {len(self.embedding.levels)}")
        if self.head.cells not in ((1, 1), self.embedding.grid):
            raise ValueError(f"a head of {self.head.cells} cells for a grid of {self.embedding.grid}")
        finer, strides = self.head.mask_head, self.embedding.mask_levels
        if finer is not None and len(finer.level_channels) != len(strides):
            raise ValueError(f"a mask head of {len(finer.level_channels)} levels for {len(strides)}")
        if finer is not None and finer.cells not in ((1, 1), self.embedding.mask_grid):
            raise ValueError(f"a mask head of {finer.cells} cells for a grid of {self.embedding.mask_grid}")
        return self

    @model_validator(mode="after")
    def _ignored_fits(self) -> Self:
        if self.ignored is not None:
            if self.ignored.size != self.embedding.input_size:
                raise ValueError(f"ignored has size {self.ignored.size}, not the input's {self.embedding.input_size}")
            if decode_mask(self.ignored).all():
                raise ValueError("ignored leaves nothing to judge")
        return self

    @property
    def ignored_pixels(self) -> npt.NDArray[np.bool_] | None:
        """Mark the pixels that are not judged, bool (H, W)."""
        return None if self.ignored is None else decode_mask(self.ignored)

    def check_names(self, line: str, version: str) -> None:
        """Raise ModelError if this is the card of another model."""
        if (self.line, self.version) != (line, version):
            raise ModelError(f"{line}/{version} holds the card of another model, {self.line}/{self.version}")


def new_version(created_at: datetime, digest: str) -> str:
    """Name a version `YYYYmmddTHHMMSS-<8 hex>`: it sorts by time and differs by content."""
    return f"{created_at.astimezone(UTC):%Y%m%dT%H%M%S}-{digest[:8]}"


def parse_card(content: bytes, where: str) -> ModelCard:
    """Check a card's bytes; `where` names them in the error. Raises ModelError."""
    _refuse_earlier(content)
    try:
        return ModelCard.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "document"
        raise ModelError(f"{where} is not a model card: {field}: {first['msg'][:MAX_REASON]}") from None


def _refuse_earlier(content: bytes) -> None:
    try:
        card = json.loads(content)
        schema_version, line = str(card["schema_version"]), line_name(str(card["line"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return  # not a card at all: the validation reports it
    if schema_version in EARLIER_SCHEMAS:
        raise ModelError(f"this model was made by an earlier version: run `qc-trainer retrain --line {line}`")
