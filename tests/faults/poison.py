"""Frames that kill every worker that takes them; its supervisor starts another."""

import signal
from collections.abc import Callable
from typing import cast

from qc_worker.domain.errors import Reason
from qc_worker.domain.inspection import Verdict
from qc_worker.engine.intake import MAX_CRASHES
from tests.faults.cameras import POISON
from tests.faults.site import Site
from tests.support.plant import WorkerProcess

BATCH = 8
IN_A_BATCH = {"first": 0, "middle": BATCH // 2, "last": BATCH - 1}
FULL_BATCHES = {
    "QC_MAX_BATCH_SIZE": str(BATCH),
    "QC_DECODE_THREADS": "1",
    "QC_FAILPOINTS": f"in-inference=1!stall,in-inference@{POISON}!exhaust",
}
"""The first frame is a batch alone, and stalls; the others are decoded meanwhile, so full batches follow, in order."""
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
        _one_camera_sends(site, before=BEFORE, behind=BEHIND)
        site.buried(site.start_worker(**poison), DEATHS[action])
        _two_more_die(site, poison, DEATHS[action])

    return run


def poisoned_in_a_batch(which: str) -> Callable[[Site], None]:
    """The frame is the first, middle or last of a full batch."""
    poison = {"QC_FAILPOINTS": f"in-inference@{POISON}!exhaust", **ONE_BY_ONE}

    def run(site: Site) -> None:
        worker = site.ready_worker(**FULL_BATCHES, **ONE_BY_ONE)
        site.began()
        site.cameras.push(1, lines="A", cameras=1)
        site.until(lambda: _batches_hit(worker))
        _one_camera_sends(site, before=BATCH + IN_A_BATCH[which], behind=BATCH)
        site.buried(worker, DEATHS["exhaust"])
        alone, full = _batches_hit(worker)
        assert (len(alone), len(full), full.index(POISON)) == (1, BATCH, IN_A_BATCH[which])
        _two_more_die(site, poison, DEATHS["exhaust"])

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


def _one_camera_sends(site: Site, *, before: int, behind: int) -> None:
    site.cameras.push(before, lines="A", cameras=1)
    site.cameras.push_poison()
    site.cameras.push(behind, lines="A", cameras=1)


def _two_more_die(site: Site, poison: dict[str, str], death: int) -> None:
    """Frames go on coming; the worker after the third death goes on."""
    site.send()
    for _ in range(MAX_CRASHES - 1):
        site.buried(site.start_worker(**poison), death)
    site.ready_worker(**poison)
    site.wait_for_more(300)


def _batches_hit(worker: WorkerProcess) -> list[list[str]]:
    """Frames of the batches that failpoints have stalled or killed, by the worker's log."""
    return [cast("list[str]", entry["frames"]) for entry in worker.log() if entry.get("event") == "failpoint"]
