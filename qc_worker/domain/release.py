"""What the trainer announces and what operators say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

_DOCUMENTED: dict[str, bool] = {"use_attribute_docstrings": True}


class ReleaseAction(StrEnum):
    """What made a version live."""

    RETRAIN = "retrain"
    PROMOTE = "promote"
    THRESHOLD = "threshold"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Release:
    """A line's model goes live.

    Its folder is `<line>/<version>` in the model store of whoever reads this, so that a release can never point a
    worker at another place.
    """

    __pydantic_config__: ClassVar = _DOCUMENTED

    line: str
    """Production line."""
    version: str
    """Model version."""
    card_sha256: str
    """SHA-256 of card.json, which in turn states the SHA-256 of head.safetensors."""
    threshold: float
    """Scores above it are rejected."""
    released_at: datetime
    """When it was announced, UTC."""
    action: ReleaseAction = ReleaseAction.RETRAIN
    """What made this version live."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Figures of the training or of a moved threshold: sample counts, false-reject rate, seconds."""


def live_stack(history: Sequence[Release]) -> list[Release]:
    """Releases of a line that went live, the live one last; a rollback takes away what it went back over.

    So rolling back twice goes two versions back, and not to and fro.
    """
    stack: list[Release] = []
    for release in history:
        if release.action is ReleaseAction.ROLLBACK and release.version in {lived.version for lived in stack}:
            while stack[-1].version != release.version:
                stack.pop()
        elif not stack or stack[-1].version != release.version:
            stack.append(release)
    return stack


def leading_up_to(release: Release, history: Sequence[Release]) -> list[Release]:
    """Releases of its line that may stand in for one, oldest first: none that was gone back over, none after it."""
    stack = live_stack(history)
    versions = [lived.version for lived in stack]
    if release.version in versions:
        return stack[: versions.index(release.version)]
    # Gone back to what is not in this history: whatever is may be what was gone back over.
    return [] if release.action is ReleaseAction.ROLLBACK else stack
