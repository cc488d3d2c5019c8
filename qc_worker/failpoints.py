"""Named places where tests let a process die. Unarmed, which is always but in tests, a place costs one look at a dict.

Armed by the setting `failpoints`, as `after-send=3` (the third passage) or `in-decode@frame-7` (when that frame comes).
"""

import os
import signal
from collections.abc import Mapping

from qc_worker.domain.errors import SettingsError

PLACES = ("after-poll", "in-decode", "in-inference", "after-send", "before-commit", "during-commit")

_passages_left: dict[str, int] = {}
_frames: dict[str, str] = {}


def failpoint(place: str, frame_id: str = "") -> None:
    """Die here by SIGKILL, as without warning as by a segfault, if this place is armed and its moment has come."""
    if _passages_left or _frames:
        _pass(place, frame_id)


def arm(spec: str) -> None:
    """Arm the places of a comma-separated list; empty: none. Raises SettingsError."""
    passages, frames = _parsed(spec)
    _passages_left.clear()
    _passages_left.update(passages)
    _frames.clear()
    _frames.update(frames)


def _pass(place: str, frame_id: str) -> None:
    if place in _passages_left:
        _passages_left[place] -= 1
    if _passages_left.get(place) == 0 or (frame_id and _frames.get(place) == frame_id):
        os.kill(os.getpid(), signal.SIGKILL)


def _parsed(spec: str) -> tuple[Mapping[str, int], Mapping[str, str]]:
    passages: dict[str, int] = {}
    frames: dict[str, str] = {}
    for item in filter(None, spec.split(",")):
        place, at, frame_id = item.partition("@")
        place, _, passage = place.partition("=")
        if place not in PLACES or not (frame_id or passage.isdecimal()):
            raise SettingsError(f"failpoints: {item!r}: use PLACE=PASSAGE or PLACE@FRAME, one of {', '.join(PLACES)}")
        if at:
            frames[place] = frame_id
        else:
            passages[place] = int(passage)
    return passages, frames
