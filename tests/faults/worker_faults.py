"""Faults of workers: they die, freeze, stall, come and go, and their clock leaps."""

import signal
from collections.abc import Callable
from datetime import UTC, datetime

from tests.conftest import eventually
from tests.faults.books import account
from tests.faults.leaping_clock import LeapingClock
from tests.faults.site import Site
from tests.support.plant import WorkerProcess

POLL_INTERVAL_S = 8.0
IN_GOOD_TIME_S = 15.0
LEAP_S = 2 * 3600
PASSAGES = {"in-decode": 500, "in-inference": 60}
"""Each time some seconds after the first frame."""
SOME_PASSAGES = 10


def killed_at(place: str) -> Callable[[Site], None]:
    def run(site: Site) -> None:
        worker = site.ready_worker(QC_FAILPOINTS=f"{place}={PASSAGES.get(place, SOME_PASSAGES)}")
        site.send()
        site.buried(worker, -signal.SIGKILL)
        site.ready_worker()

    return run


def terminated(site: Site) -> None:
    worker = site.ready_worker()
    site.send()
    site.wait_for_more(300)
    _sent_home(site, worker)
    site.ready_worker()


def frozen(freeze_s: float, **environment: str) -> Callable[[Site], None]:
    """One of two workers, longer than the group waits for it."""

    def run(site: Site) -> None:
        worker = site.ready_worker(**environment)
        other = other_member(site, worker, **environment)
        site.send()
        site.wait_for_more(300)
        worker.signal(signal.SIGSTOP)
        site.hold(freeze_s)
        until_it_has_all(site, other)
        worker.signal(signal.SIGCONT)
        until_it_shares(site, other)

    return run


def frozen_in_a_join(site: Site) -> None:
    """A member falls silent when the group waits for it to join anew, as another has come."""
    worker = site.ready_worker()
    site.send()
    site.wait_for_more(300)
    guest = site.start_worker()
    _until_it_joins(guest)
    worker.signal(signal.SIGSTOP)
    until_it_has_all(site, guest)
    worker.signal(signal.SIGCONT)
    until_it_shares(site, guest)


def stalled(place: str) -> Callable[[Site], None]:
    """The main thread of one of two workers hangs beyond the poll interval; that which sends heartbeats goes on."""

    def run(site: Site) -> None:
        patience = {"QC_MAX_POLL_INTERVAL_MS": str(int(POLL_INTERVAL_S * 1000))}
        worker = site.ready_worker(QC_FAILPOINTS=f"{place}={SOME_PASSAGES}!stall", **patience)
        other = other_member(site, worker, **patience)
        site.send()
        until_it_has_all(site, other)
        until_it_shares(site, other)

    return run


def joining_and_leaving(site: Site) -> None:
    """Two join at once; one goes and one comes at once; two leave at once."""
    site.ready_worker()
    site.send()
    site.wait_for_more(200)
    first, second = site.start_worker(), site.start_worker()
    first.wait_until_ready()
    second.wait_until_ready()
    site.wait_for_more(200)
    third = site.start_worker()
    _until_it_joins(third)
    _sent_home(site, first)
    third.wait_until_ready()
    site.wait_for_more(200)
    _sent_home(site, second, third)


def terminated_in_a_rebalance(site: Site) -> None:
    worker = site.ready_worker()
    other_member(site, worker)
    site.send()
    site.wait_for_more(300)
    guest = site.start_worker()
    _until_it_joins(guest)
    _sent_home(site, worker)
    guest.wait_until_ready()


def left_to_another_slot(site: Site) -> None:
    """A worker dies with a transaction open, and the next one has another name: it cannot end it."""
    worker = site.ready_worker(QC_FAILPOINTS=f"after-send={SOME_PASSAGES}")
    site.send()
    site.buried(worker, -signal.SIGKILL)
    assert len(site.leadership.transactional_ids(site.group, open_only=True)) == 1
    site.ready_worker(QC_STATE_DIR=str(site.plant.folder / "another"))
    site.wait_for_more(300)


def clock_leaps(site: Site) -> None:
    """The worker's wall clock leaps ahead, then twice as far back; books are kept from the middle of it as well."""
    began = datetime.now(UTC)
    clock = LeapingClock(site.plant.folder)
    site.ready_worker(**clock.environment)
    site.send()
    site.wait_for_more(300)
    clock.leap(LEAP_S)
    site.wait_for_more(600)
    middle = datetime.now(UTC)
    _kept_since(site, began, middle)
    site.wait_for_more(600)
    clock.leap(-LEAP_S)
    site.wait_for_more(600)
    _kept_since(site, began, middle)
    hours = {inspection.scored_at.hour for inspection in site.verdicts.so_far()}
    assert len(hours) >= 3, "the clock did not leap"


def other_member(site: Site, member: WorkerProcess, **environment: str) -> WorkerProcess:
    """Start a second worker and wait until both have partitions."""
    other = site.ready_worker(**environment)
    site.until(lambda: member.partitions() and other.partitions())
    return other


def until_it_has_all(site: Site, worker: WorkerProcess) -> None:
    """The group has gone on without the others."""
    site.until(lambda: worker.partitions() == _every(site))


def until_it_shares(site: Site, worker: WorkerProcess) -> None:
    """The others are back, and frames are judged."""
    site.until(lambda: worker.partitions() < _every(site))
    site.wait_for_more(300)


def _kept_since(site: Site, *times: datetime) -> None:
    for time in times:
        books = account(site.plant, "--since", time.isoformat())
        assert books.clean, f"since {time}: {books.discrepancies}"
        assert books.frames + books.waiting > 0


def _every(site: Site) -> int:
    return int(site.plant.environment["QC_PARTITIONS"])


def _until_it_joins(worker: WorkerProcess) -> None:
    eventually(lambda: worker.events()["worker started"] > 0 or worker.pause(), timeout_s=60)


def _sent_home(site: Site, *workers: WorkerProcess) -> None:
    """SIGTERM, to all at once."""
    for worker in workers:
        worker.signal(signal.SIGTERM)
    for worker in workers:
        site.buried(worker, 0, timeout_s=IN_GOOD_TIME_S)
