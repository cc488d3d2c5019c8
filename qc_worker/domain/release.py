"""Releases: announcements by the trainer that a version of a line's model goes live."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

_DOCUMENTED: dict[str, bool] = {"use_attribute_docstrings": True}


class ReleaseAction(StrEnum):
    """Action that made a version live."""

    RETRAIN = "retrain"
    PROMOTE = "promote"
    THRESHOLD = "threshold"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Release:
    """Announcement that a version of a line's model goes live.

    The model's folder is `<line>/<version>` in the reader's own model store, so a release can never point a worker to
    another place.
    """

    __pydantic_config__: ClassVar = _DOCUMENTED

    line: str
    """Production line."""
    version: str
    """Model version."""
    card_sha256: str
    """SHA-256 of card.json, which in turn states the SHA-256 of head.safetensors."""
    threshold: float
    """Threshold of the score; scores above it are rejected."""
    released_at: datetime
    """Time of the announcement, UTC."""
    action: ReleaseAction = ReleaseAction.RETRAIN
    """Action that made this version live."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Figures of the training or of a moved threshold: sample counts, false-reject rate, seconds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """State of a line on which somebody decided; a decision on an older state must not undo a newer one."""

    live: str | None
    """Version that was live; None: none was."""


def live_version(history: Sequence[Release]) -> str | None:
    """Return the version that was released last; None if there was no release."""
    return history[-1].version if history else None


def version_before(history: Sequence[Release], stored: Collection[str]) -> str | None:
    """Return the version that a rollback goes to: the last one that was live before and is stored; None if none is."""
    earlier = [release.version for release in live_stack(history)[:-1] if release.version in stored]
    return earlier[-1] if earlier else None


def live_stack(history: Sequence[Release]) -> list[Release]:
    """Return the releases of a line that went live and were not rolled back, the live one last.

    A rollback removes the releases after its target, so rolling back twice goes two versions back instead of toggling
    between two versions.
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
    """Return the releases of its line that may stand in for `release`, oldest first.

    None of them was rolled back, and none came after it.
    """
    stack = live_stack(history)
    versions = [lived.version for lived in stack]
    if release.version in versions:
        return stack[: versions.index(release.version)]
    # The target of this rollback is not in the history, so any release in it may be one that was rolled back.
    return [] if release.action is ReleaseAction.ROLLBACK else stack
