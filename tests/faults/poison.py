"""Frames that kill every worker that takes them; its supervisor starts another."""

import signal
from collections.abc import Callable

from qc_worker.domain.errors import Reason
from qc_worker.domain.inspection import Verdict
from qc_worker.engine.intake import MAX_CRASHES
from tests.faults.cameras import POISON
from tests.faults.site import Site

BEFORE = 160
BEHIND = 200
DEATHS = {"segfault": -signal.SIGSEGV, "exhaust": -signal.SIGKILL}
ONE_BY_ONE = {"QC_MAX_IN_FLIGHT_FRAMES": "64"}
"""So many frames at the most are tried alone after each death."""


def poisoned(place: str, action: str) -> Callable[[Site], None]:
    """The frame lies in the middle of a backlog."""
    poison = {"QC_FAILPOINTS": f"{place}@{POISON}!{action}", **ONE_BY_ONE}

    def run(site: Site) -> None:
        site.began()
        _one_camera_sends(site)
        site.buried(site.start_worker(**poison), DEATHS[action])
        site.send()
        for _ in range(MAX_CRASHES - 1):
            site.buried(site.start_worker(**poison), DEATHS[action])
        site.ready_worker(**poison)
        site.wait_for_more(300)

    return run


def poisoned_at_the_end(site: Site) -> None:
    """Behind the frame lies nothing but marks of transactions."""
    poison = {"QC_FAILPOINTS": f"in-decode@{POISON}!segfault", **ONE_BY_ONE}
    worker = site.ready_worker(**poison)
    site.send()
    site.cameras.wait_for(site.frames)
    site.drained()
    site.cameras.push_poison()
    site.buried(worker, DEATHS["segfault"])
    for _ in range(MAX_CRASHES - 1):
        site.buried(site.start_worker(**poison), DEATHS["segfault"])
    site.ready_worker(**poison)


def one_frame_is_given_up(site: Site) -> None:
    """And no other is held to have killed anybody."""
    given_up = [one for one in site.verdicts.so_far() if one.verdict is Verdict.ERROR]
    assert [(one.frame_id, one.reason) for one in given_up] == [(POISON, Reason.CRASHED_WORKERS)]


def _one_camera_sends(site: Site) -> None:
    site.cameras.push(BEFORE, lines="A", cameras=1)
    site.cameras.push_poison()
    site.cameras.push(BEHIND, lines="A", cameras=1)
