"""Finds the head of a version that shares the head of another version of its line.

The folder of such a version in the store holds card.json alone, so a new threshold costs a small file. The card names
the version whose folder has the head, and the head's digest. The product never removes a version; people who do it by
hand must keep those that `qc-trainer versions` shows as `head of`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qc_worker.domain import names
from qc_worker.domain.errors import ModelError
from qc_worker.files import file_sha256

HEAD_FILE = "head.safetensors"
CARD_FILE = "card.json"


@dataclass(frozen=True, slots=True)
class SharedHead:
    """Version whose folder holds a shared head, and the head's digest."""

    version: str
    sha256: str


def shared_head(card: Path, version: str) -> SharedHead | None:
    """Read from its card which head `version` shares; None if it has its own. Raises ModelError or OSError.

    Only these two fields are checked here; the whole card is checked when the model is built.
    """
    document = _document(card)
    owner = document.get("head_of")
    if owner is None:
        return None
    try:
        shared = SharedHead(names.model_version(owner), str(document.get("head_sha256")))
    except (TypeError, ValueError):
        raise ModelError(f"{version} shares the head of {owner!r}, which is not a version") from None
    if shared.version == version:
        raise ModelError(f"{version} shares the head of itself")
    return shared


def local_head(folder: Path, shared: SharedHead) -> Path | None:
    """Find a verified copy of the head in the version folders below `folder`; None if there is none."""
    for version in _versions_with(folder, shared):
        try:
            if file_sha256(version / HEAD_FILE) == shared.sha256:
                return version / HEAD_FILE
        except ModelError:
            continue  # removed or unreadable: as if it were not there
    return None


def _versions_with(folder: Path, shared: SharedHead) -> Iterator[Path]:
    """Yield the version folders whose card states that head, the head's own first; so few heads must be read."""
    others = sorted(path.parent for path in folder.glob(f"[!.]*/{CARD_FILE}"))
    for version in sorted(others, key=lambda path: path.name != shared.version):
        try:
            if _document(version / CARD_FILE).get("head_sha256") == shared.sha256:
                yield version
        except OSError:
            continue


def _document(card: Path) -> dict[str, Any]:
    """Read a card; an unreadable one counts as empty here, and building the model reports what is wrong with it."""
    try:
        document = json.loads(card.read_bytes())
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
