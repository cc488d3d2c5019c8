"""Named places where tests let a process die or stall. Unarmed, as always but in tests, a place costs a look at a dict.

Armed by the setting `failpoints`, as `after-send=3` (the third passage) or `in-decode@frame-7` (whenever that frame
comes), and what shall happen there, as in `after-poll=3!stall`: `kill` unless said otherwise.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from qc_worker.domain.errors import SettingsError

PLACES = ("after-poll", "in-decode", "in-inference", "after-send", "before-commit", "during-commit")
STALL_S = 15.0
EXHAUSTED_BYTES = 256 * 1024 * 1024


def failpoint(place: str, *frame_ids: str) -> None:
    """Die or stall here if this place is armed and its moment, or one of these frames, has come."""
    if _traps:
        for trap in _traps.get(place, ()):
            trap.passed(frame_ids)


def arm(spec: str) -> None:
    """Arm the places of a comma-separated list; empty: none. Raises SettingsError."""
    parsed = [_parsed(item) for item in filter(None, spec.split(","))]
    _traps.clear()
    for place, trap in parsed:
        _traps.setdefault(place, []).append(trap)


def kill() -> None:
    """Die without warning."""
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    """Die as of a bad pointer in a decoder."""
    os.kill(os.getpid(), signal.SIGSEGV)


def exhaust() -> None:
    """Die as of want of memory: take some, then end as the kernel ends whoever took too much."""
    _taken = b"\x01" * EXHAUSTED_BYTES
    kill()


def stall() -> None:
    """Hold this thread up for STALL_S, while others, as that which sends heartbeats, go on."""
    time.sleep(STALL_S)


ACTIONS: Mapping[str, Callable[[], None]] = {"kill": kill, "segfault": segfault, "exhaust": exhaust, "stall": stall}


@dataclass(frozen=True, slots=True)
class _Trap:
    spring: Callable[[], None]
    passage: int = 0
    frame_id: str = ""
    passages: Iterator[int] = field(default_factory=lambda: count(1))  # counts on whatever threads pass at once

    def passed(self, frame_ids: tuple[str, ...]) -> None:
        if self.frame_id in frame_ids if self.frame_id else next(self.passages) == self.passage:
            self.spring()


_traps: dict[str, list[_Trap]] = {}


def _parsed(item: str) -> tuple[str, _Trap]:
    where, _, action = item.partition("!")
    place, _, frame_id = where.partition("@")
    place, _, passage = place.partition("=")
    if place not in PLACES or (action or "kill") not in ACTIONS or not (frame_id or passage.isdecimal()):
        raise SettingsError(
            f"failpoints: {item!r}: use PLACE=PASSAGE or PLACE@FRAME, and !ACTION behind it or not; "
            f"places: {', '.join(PLACES)}; actions: {', '.join(ACTIONS)}"
        )
    return place, _Trap(ACTIONS[action or "kill"], int(passage or 0), frame_id)
