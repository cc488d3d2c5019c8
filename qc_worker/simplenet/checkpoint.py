"""Saves and loads models: a folder with head.safetensors and card.json, the card written last.

Files are treated as hostile until their digest, size, names, shapes and numbers have been checked.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from qc_worker.domain.errors import ModelError
from qc_worker.files import file_sha256, read_bounded, write_whole
from qc_worker.simplenet.card import ModelCard, SampleManifest, Software, new_version, parse_card
from qc_worker.simplenet.head import Head

__all__ = [
    "Model",
    "ModelCard",
    "SampleManifest",
    "Software",
    "file_sha256",
    "head_sha256",
    "load_model",
    "new_version",
    "save_card",
    "save_model",
]

HEAD_FILE = "head.safetensors"
CARD_FILE = "card.json"
MAX_HEAD_BYTES = 512 << 20
MAX_CARD_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Model:
    """A line's head, on the CPU and in eval mode, with its card."""

    head: Head
    card: ModelCard


def save_model(folder: Path, head: Head, card: ModelCard) -> ModelCard:
    """Write the head, then the card with the head's digest; return that card. Raises ModelError."""
    content = _head_bytes(head)
    sealed = card.model_copy(update={"head_sha256": hashlib.sha256(content).hexdigest()})
    write_whole(folder / HEAD_FILE, content)
    save_card(folder, sealed)
    return sealed


def save_card(folder: Path, card: ModelCard) -> None:
    """Write the card alone, as for a version that shares the head of another. Raises ModelError."""
    write_whole(folder / CARD_FILE, card.model_dump_json(indent=1).encode())


def load_model(folder: Path, *, card_sha256: str | None = None) -> Model:
    """Read and verify a model; `card_sha256` is what the release states.

    Raises ModelError if anything is missing, altered, too large or not a finite number.
    """
    card = _read_card(folder / CARD_FILE, card_sha256)
    content = read_bounded(folder / HEAD_FILE, max_bytes=MAX_HEAD_BYTES)
    if hashlib.sha256(content).hexdigest() != card.head_sha256:
        raise ModelError(f"{folder / HEAD_FILE} is not the head that its card describes (sha256 differs)")
    return Model(head=_build_head(content, card), card=card)


def head_sha256(head: Head) -> str:
    """Compute the digest that the head will have on disk; it names the version."""
    return hashlib.sha256(_head_bytes(head)).hexdigest()


def _head_bytes(head: Head) -> bytes:
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in head.state_dict().items()})


def _read_card(path: Path, card_sha256: str | None) -> ModelCard:
    content = read_bounded(path, max_bytes=MAX_CARD_BYTES)
    if card_sha256 is not None and hashlib.sha256(content).hexdigest() != card_sha256:
        raise ModelError(f"{path} is not the card that was released (sha256 differs)")
    return parse_card(content, str(path))


def _build_head(content: bytes, card: ModelCard) -> Head:
    expected = _expected_tensors(card)
    if sum(math.prod(shape) * kind.itemsize for shape, kind in expected.values()) > MAX_HEAD_BYTES:
        raise ModelError(
            f"a head of {sum(card.head.level_channels)} channels and {card.head.hidden} hidden units is too large"
        )
    try:
        state = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{HEAD_FILE} cannot be read: {error}") from None
    _check_tensors(state, expected)
    head = Head(card.head)
    head.load_state_dict(state)
    return head.eval().requires_grad_(False)


Expected = Mapping[str, tuple[torch.Size, torch.dtype]]


def _expected_tensors(card: ModelCard) -> Expected:
    with torch.device("meta"):  # shapes only, no memory
        state = Head(card.head).state_dict()
    return {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()}


def _check_tensors(state: Mapping[str, Tensor], expected: Expected) -> None:
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()}
    if found != expected:
        wrong = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        raise ModelError(f"{HEAD_FILE} does not fit its card: {', '.join(wrong)[:200]}")
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{HEAD_FILE}: {name} has values that are not finite")
        if name.endswith((".std", ".running_var", "scale")) and not bool((tensor > 0).all()):
            raise ModelError(f"{HEAD_FILE}: {name} has values that are not positive")
