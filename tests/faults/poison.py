"""Frames that kill every worker that takes them; its supervisor starts another."""

import signal
from collections.abc import Callable

from qc_worker.domain.errors import Reason
from qc_worker.domain.inspection import Verdict
from qc_worker.engine.intake import MAX_CRASHES
from tests.faults.cameras import POISON
from tests.faults.site import Site

BATCH = 8
BEFORE = 20 * BATCH
IN_A_BATCH = {"first": BEFORE, "middle": BEFORE + BATCH // 2, "last": BEFORE + BATCH - 1}
BEHIND = 200
DEATHS = {"segfault": -signal.SIGSEGV, "exhaust": -signal.SIGKILL}
ONE_BY_ONE = {"QC_MAX_IN_FLIGHT_FRAMES": "64"}
"""So many frames at the most are tried alone after each death."""
FULL_BATCHES = {"QC_MAX_BATCH_SIZE": str(BATCH), "QC_MAX_WAIT_MS": "500", "QC_DECODE_THREADS": "1"}
"""A backlog of one partition is then judged in batches of eight, in its order."""


def poisoned(which: str, place: str, action: str) -> Callable[[Site], None]:
    """The frame is the first, middle or last of the first worker's twenty-first batch."""
    poison = {"QC_FAILPOINTS": f"{place}@{POISON}!{action}", **ONE_BY_ONE}

    def run(site: Site) -> None:
        site.began()
        _one_camera_sends(site, before=IN_A_BATCH[which])
        worker = site.start_worker(**poison, **FULL_BATCHES)
        site.buried(worker, DEATHS[action])
        assert {entry["frames"] for entry in worker.log() if entry.get("event") == "batch judged"} == {BATCH}
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


def _one_camera_sends(site: Site, *, before: int) -> None:
    site.cameras.push(before, lines="A", cameras=1)
    site.cameras.push_poison()
    site.cameras.push(BEHIND, lines="A", cameras=1)
