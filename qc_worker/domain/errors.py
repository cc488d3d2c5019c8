"""The error tree: each class names the action it causes.

QcError
├── SettingsError    the command ends with exit code 2 and one line
├── InvalidFrame     the frame becomes an `error` inspection and a dead letter
├── TransportError   retry; nothing was committed
│   └── GroupRebalancing   poll first, then retry
├── DeviceLost       the process ends with exit code 75; a new one may get the device back
├── ModelError       refuse the model, keep the one that is resident
│   └── StoreAway    the model store cannot be reached; a retry may help
├── ReleaseRefused   no version goes live, the live one stays; the sentence says why
└── TrainingError    the retrain ends with exit code 2; nothing was written
"""

from enum import StrEnum


class Reason(StrEnum):
    """Reason why a frame could not be judged; a metric label, so the set is closed."""

    BAD_HEADERS = "bad_headers"
    UNREADABLE = "unreadable"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    TOO_MANY_PIXELS = "too_many_pixels"
    UNDECODABLE = "undecodable"
    UNKNOWN_LINE = "unknown_line"
    MODEL_FAILED = "model_failed"
    CRASHED_WORKERS = "crashed_workers"


class QcError(Exception):
    """Base of every error this project raises on purpose."""


class SettingsError(QcError):
    """A setting, flag or environment that cannot work; says what to change."""


class InvalidFrame(QcError):
    """A frame that cannot be judged, with its reason and a sentence for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class TransportError(QcError):
    """The broker or the cache failed; a retry may help."""


class GroupRebalancing(TransportError):
    """The consumer group is rebalancing: poll once, then publish the frames of partitions that are still ours."""


class DeviceLost(QcError):
    """The GPU or the inference thread does not work in this process, or not any more; a new process may have it."""


class ModelError(QcError):
    """A model, release or weights file that must not be used."""


class StoreAway(ModelError):
    """The model store cannot be reached at the moment; a retry may help."""


class ReleaseRefused(QcError):
    """A version that does not go live: another one did meanwhile, or there is none to go back to."""


class TrainingError(QcError):
    """A retrain that cannot succeed; the old model is untouched."""
