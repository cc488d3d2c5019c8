"""Small models and pictures for these tests."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from qc_worker.domain.calibration import Calibration
from qc_worker.imaging.opening import ImageLimits
from qc_worker.simplenet.card import ModelCard, SampleManifest
from qc_worker.simplenet.checkpoint import CARD_FILE
from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.head_shape import HeadShape
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.spec import EmbeddingSpec

LIMITS = ImageLimits(max_bytes=16 << 20, max_pixels=64_000_000)


def an_embedding_spec(**changes: object) -> EmbeddingSpec:
    fields: dict[str, object] = {
        "backbone": "efficientnet_lite0",
        "weights_sha256": "0" * 64,
        "levels": (8, 16),
        "patch_size": 3,
        "input_size": (64, 64),
        "aspect": "squash",
        "grid_stride": min(changes.get("levels") or (8, 16)),  # type: ignore[call-overload]
    }
    return EmbeddingSpec(**{**fields, **changes})  # type: ignore[arg-type]


def a_shape(level_channels: tuple[int, ...] = (4, 2), hidden: int = 5, **changes: object) -> HeadShape:
    """A distance at every level, a discriminator of all levels, and one of the first where there are several."""
    levels = tuple(range(len(level_channels)))
    fields: dict[str, object] = {
        "level_channels": level_channels,
        "adapted": level_channels,
        "components": (3,) * len(levels),
        "discriminators": tuple(dict.fromkeys([levels, (0,)])),
        "hidden": hidden,
    }
    return HeadShape(**{**fields, **changes})  # type: ignore[arg-type]


def a_head(
    level_channels: tuple[int, ...] = (4, 2), hidden: int = 5, seed: int = 0, cells: tuple[int, int] = (1, 1)
) -> Head:
    return head_of(a_shape(level_channels, hidden, cells=cells), seed)


def head_of(shape: HeadShape, seed: int = 0) -> Head:
    """A head in eval mode whose every tensor is as if trained: no zeros, no ones."""
    generator = torch.Generator().manual_seed(seed)
    head = Head(shape).eval().requires_grad_(False)
    for name, tensor in head.state_dict().items():
        if name.endswith(("std", "running_var", "scale")):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return head


def a_card(head: Head, **changes: object) -> ModelCard:
    fields: dict[str, object] = {
        "line": "A",
        "version": "20261123T120000-00000000",
        "embedding": an_embedding_spec(),
        "head": head.shape,
        "calibration": Calibration(scores=(0.1, 0.2, 0.3), max_false_reject=0.25),
        "samples": SampleManifest(training=("a" * 64,), calibration=("b" * 64,)),
        "training": FitSettings(),
        "seed": 7,
        "duration_s": 1.5,
        "created_at": datetime(2026, 11, 23, 12, tzinfo=UTC),
    }
    return ModelCard(**{**fields, **changes})


def random_weights(folder: Path, name: str = "tf_efficientnet_lite0") -> Path:
    """A weights file for timm's `name` with random numbers, asked for on purpose."""
    torch.manual_seed(0)
    path = folder / f"{name}.safetensors"
    save_file(timm.create_model(name, pretrained=False).state_dict(), path)
    return path


def a_gradient(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    """Bright to the right, so that it matters which way is up."""
    width, height = size
    ramp = np.linspace(0, 255, width * height).reshape(width, height).T.astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(ramp)).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def some_pixels(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


class SmallMemory(Scorer):
    """A device on which three frames fit, not four."""

    most_frames: int = 3
    largest_tried: int = 0

    def _to_device(self, pixels: Tensor) -> Tensor:
        self.largest_tried = max(self.largest_tried, len(pixels))
        if len(pixels) > self.most_frames:
            raise torch.OutOfMemoryError("no room")
        return super()._to_device(pixels)


def reseal(folder: Path, **changes: object) -> None:
    """Rewrite the card, as someone with access to the store could."""
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps({**card, **changes}))
