"""Make small real objects for tests: records, encoded images, models."""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.frame import Position, Record
from qc_worker.domain.inspection import Inspection, Mask, Outcome, Verdict
from qc_worker.domain.release import Release, ReleaseAction
from qc_worker.ports.models import ModelStore
from qc_worker.simplenet.backbones.backbone import Backbone, load_backbone
from qc_worker.simplenet.card import ModelCard, SampleManifest
from qc_worker.simplenet.checkpoint import CARD_FILE, file_sha256, load_model, save_card, save_model
from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.head_shape import HeadShape
from qc_worker.simplenet.inference.folded import FoldedHead, fold
from qc_worker.simplenet.spec import EmbeddingSpec

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SIDE = 64
"""Input size of the test model; small, so that hundreds of frames take a second."""


@dataclass(slots=True)
class ManualClock:
    """A clock that moves only when `advance` is called."""

    seconds: float = 0.0
    on_read: Callable[[], None] = field(default=lambda: None)

    def monotonic(self) -> float:
        self.on_read()
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


def jpeg(seed: int = 0, *, width: int = 96, height: int = 64) -> bytes:
    """Make a small textured JPEG, different for every seed."""
    return encoded("JPEG", seed, width=width, height=height)


def encoded(image_format: str, seed: int = 0, *, width: int = 96, height: int = 64) -> bytes:
    pixels = np.random.default_rng(seed).integers(96, 160, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format)
    return buffer.getvalue()


def png_bomb(side: int = 30_000) -> bytes:
    """Make a PNG of a few bytes whose header claims `side` x `side` pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1 << 16))), (b"IEND", b"")]
    framed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def animated_gif() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "green")]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def record(
    offset: int = 0,
    *,
    partition: int = 0,
    line: str = "A",
    camera: str = "cam1",
    content: bytes | None = None,
    topic: str = "images",
) -> Record:
    """Make a record as a camera would write it."""
    return Record(
        position=Position(topic, partition, offset),
        key=f"{line}/{camera}".encode(),
        content=jpeg(offset) if content is None else content,
        headers=(("line", line.encode()), ("camera", camera.encode()), ("frame-id", f"f{partition}-{offset}".encode())),
        appended_at=NOON,
    )


def outcome(of: Record, verdict: Verdict = Verdict.PASS) -> Outcome:
    return Outcome(
        Inspection(
            frame_id="f", line="A", camera="c", captured_at=NOON, scored_at=NOON, source=of.position, verdict=verdict
        ),
        of.key,
    )


@cache
def backbone() -> Backbone:
    """Load the packaged backbone with its real weights."""
    return load_backbone("efficientnet_lite0", levels=(16, 32), weights_dir=Path("no-such-folder"))


def embedding_spec() -> EmbeddingSpec:
    return EmbeddingSpec(
        backbone="efficientnet_lite0",
        weights_sha256=backbone().weights_sha256,
        levels=(16, 32),
        patch_size=3,
        input_size=(SIDE, SIDE),
        aspect="squash",
        grid_stride=16,
    )


def head_shape() -> HeadShape:
    return HeadShape(
        level_channels=backbone().channels, adapted=(8, 8), components=(2, 0), discriminators=((0, 1),), hidden=16
    )


def head(seed: int = 0) -> Head:
    """Make a head with random weights: its verdicts mean nothing, but it computes like any other."""
    shape = head_shape()  # before seeding: the first call loads the backbone, which draws random numbers too
    torch.manual_seed(seed)
    return Head(shape).eval().requires_grad_(False)


def folded_head(seed: int = 0) -> FoldedHead:
    return fold(head(seed))


def card(
    line: str = "A",
    version: str = "v1",
    *,
    scores: tuple[float, ...] = (-5.0, 0.0, 5.0),
    ignored: Mask | None = None,
    made_of: tuple[str, ...] = (),
    created_at: datetime = NOON,
) -> ModelCard:
    return ModelCard(
        line=line,
        version=version,
        embedding=embedding_spec(),
        head=head_shape(),
        calibration=Calibration(scores=scores, max_false_reject=0.25),
        samples=SampleManifest(training=made_of, calibration=made_of),
        training=FitSettings(),
        seed=0,
        duration_s=1.0,
        created_at=created_at,
        ignored=ignored,
    )


def add_version(
    store: ModelStore,
    line: str = "A",
    version: str = "v1",
    *,
    seed: int = 0,
    scores: tuple[float, ...] = (-5.0, 0.0, 5.0),
    ignored: Mask | None = None,
    made_of: tuple[str, ...] = (),
    released_at: datetime = NOON,
) -> Release:
    """Store a model with random weights, trained in the second before its release, which is returned."""
    with TemporaryDirectory() as folder:
        path = Path(folder)
        made = card(line, version, scores=scores, ignored=ignored, made_of=made_of, created_at=released_at)
        save_model(path, head(seed), made)
        card_sha256 = file_sha256(path / CARD_FILE)
        store.add(path, line=line, version=version)
    return Release(line=line, version=version, card_sha256=card_sha256, threshold=max(scores), released_at=released_at)


def share_head(
    store: ModelStore,
    line: str = "A",
    version: str = "v2",
    *,
    of: str = "v1",
    scores: tuple[float, ...] = (-5.0, 0.0, 5.0),
) -> Release:
    """Store a version that shares the head of `of` (see `add_version`) with other scores, and return its release."""
    with TemporaryDirectory() as folder:
        path = Path(folder)
        owner = load_model(store.fetch(line, of, into=path / "owner")).card
        update = {"head_sha256": owner.head_sha256, "head_of": of, "derived_from": of}
        save_card(path, card(line, version, scores=scores, ignored=owner.ignored).model_copy(update=update))
        card_sha256 = file_sha256(path / CARD_FILE)
        store.add(path, line=line, version=version)
    return Release(line, version, card_sha256, max(scores), NOON, ReleaseAction.THRESHOLD)
