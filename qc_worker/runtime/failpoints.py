"""Let a process die or stall at named places, for tests of faults. A place that is not armed costs one dict look-up.

The setting `failpoints` arms a place for its third passage (`after-send=3`) or for each passage of a frame
(`in-decode@frame-7`). An action may follow (`after-poll=3!stall`); the default is `kill`. One line of the log names the
place and its frames before it happens.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

import structlog

from qc_worker.domain.errors import SettingsError

log = structlog.get_logger()

WORKER_PLACES = ("after-poll", "in-decode", "in-inference", "after-send", "before-commit", "during-commit")
HISTORY_PLACES = ("before-rows", "after-rows", "after-places", "after-history-commit")
REBUILD_PLACES = ("after-rebuilt-rows", "in-exchange", "after-exchange")
REVIEW_PLACES = ("in-judgement", "after-judgement", "after-word-sent")
ARCHIVE_PLACES = ("after-claim", "in-blob", "after-blobs", "in-evidence", "after-evidence")
RETENTION_PLACES = ("after-evidence-removed", "after-mark", "after-blob-removed")
PLACES = (
    *WORKER_PLACES, *HISTORY_PLACES, *REBUILD_PLACES, *REVIEW_PLACES, *ARCHIVE_PLACES, *RETENTION_PLACES
)  # fmt: skip
STALL_S = 15.0
EXHAUSTED_BYTES = 256 * 1024 * 1024


def failpoint(place: str, *frame_ids: str) -> None:
    """Die or stall here if the place is armed for this passage or for one of these frames."""
    if _traps:
        for trap in _traps.get(place, ()):
            if trap.is_sprung_by(frame_ids):
                log.warning("failpoint", place=place, frames=frame_ids)
                trap.spring()


def arm(spec: str) -> None:
    """Arm the places of a comma-separated list, and no others. Raises SettingsError."""
    parsed = [_parsed(item) for item in filter(None, spec.split(","))]
    _traps.clear()
    for place, trap in parsed:
        _traps.setdefault(place, []).append(trap)


def kill() -> None:
    """Die without warning."""
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    """Die as by a bad pointer in a decoder."""
    os.kill(os.getpid(), signal.SIGSEGV)


def exhaust() -> None:
    """Die as by running out of memory: allocate some, then end as the kernel's OOM killer would do it."""
    _taken = b"\x01" * EXHAUSTED_BYTES
    kill()


def stall() -> None:
    """Block this thread for STALL_S, while others, such as the one that sends heartbeats, continue."""
    time.sleep(STALL_S)


ACTIONS: Mapping[str, Callable[[], None]] = {"kill": kill, "segfault": segfault, "exhaust": exhaust, "stall": stall}


@dataclass(frozen=True, slots=True)
class _Trap:
    spring: Callable[[], None]
    passage: int = 0
    frame_id: str = ""
    passages: Iterator[int] = field(default_factory=lambda: count(1))  # `next` is atomic, so threads may pass at once

    def is_sprung_by(self, frame_ids: tuple[str, ...]) -> bool:
        if self.frame_id:
            return self.frame_id in frame_ids
        return next(self.passages) == self.passage


_traps: dict[str, list[_Trap]] = {}


def _parsed(item: str) -> tuple[str, _Trap]:
    moment, _, named_action = item.partition("!")
    action = named_action or "kill"
    place, _, frame_id = moment.partition("@")
    place, _, passage = place.partition("=")
    if place not in PLACES or action not in ACTIONS or not (frame_id or passage.isdecimal()):
        raise SettingsError(
            f"failpoints: {item!r} is not valid: use PLACE=PASSAGE or PLACE@FRAME, optionally followed by !ACTION; "
            f"places: {', '.join(PLACES)}; actions: {', '.join(ACTIONS)}"
        )
    return place, _Trap(ACTIONS[action], int(passage or 0), frame_id)
