"""The fault matrix: what is broken while frames flow, and what must hold all the same.

Each cell is run by `test_matrix.py` on three brokers with at least 2,000 frames; then the books must balance.
"""

from qc_worker.runtime.failpoints import WORKER_PLACES
from tests.faults import broker_faults, cache_faults, poison, release_faults, trainer_faults, worker_faults
from tests.faults.cell import ELECTION_S, ON_AND_ON_S, SESSION_S, SLACK_S, START_S, TRANSACTION_S, Cell
from tests.faults.dashboard.archive import KilledArchive
from tests.faults.dashboard.fault import DashboardFault
from tests.faults.dashboard.outages import OUTAGE_S, Restarts
from tests.faults.dashboard.projection import KilledProjection
from tests.faults.dashboard.review import KilledReview
from tests.faults.poison import IN_A_BATCH, one_frame_is_given_up, poisoned, poisoned_in_a_batch
from tests.faults.release_faults import v1_judged_all
from tests.faults.worker_faults import POLL_INTERVAL_S, frozen, killed_at, stalled
from tests.support.databases import DATABASES

LEFT_BEHIND_S = SESSION_S + SLACK_S
"""A member falls silent, and the others get what it had."""
DEATHS_S = 4 * START_S
"""Three workers die of a frame, a fourth goes on."""
POLL_INTERVAL = {"QC_MAX_POLL_INTERVAL_MS": str(int(1000 * POLL_INTERVAL_S))}


def killed(place: str) -> Cell:
    return Cell(f"worker killed {place}", "a killed worker loses and repeats nothing", killed_at(place), START_S)


def poisonous(place: str, action: str) -> Cell:
    death = {"segfault": "a segfault", "exhaust": "want of memory"}[action]
    return Cell(
        f"poisonous frame, {death} {place}",
        "a frame that kills workers kills three, then the line goes on",
        poisoned(place, action),
        DEATHS_S,
        one_frame_is_given_up,
    )


def poisonous_in_a_batch(which: str) -> Cell:
    return Cell(
        f"poisonous frame {which} of a batch, want of memory in-inference",
        "a frame that kills workers kills three, then the line goes on",
        poisoned_in_a_batch(which),
        DEATHS_S,
        one_frame_is_given_up,
    )


def dashboard_killed(step: str, fault: DashboardFault, promise: str) -> Cell:
    return Cell(f"dashboard killed at each {step}, {fault.database}", promise, fault.run, ON_AND_ON_S, fault.proof)


WORKERS = (
    *map(killed, WORKER_PLACES),
    Cell(
        "worker killed after-send, the next has another slot",
        "a transaction that its worker cannot end is ended by the broker",
        worker_faults.left_to_another_slot,
        START_S + TRANSACTION_S,
    ),
    Cell("worker terminated", "SIGTERM loses and repeats nothing", worker_faults.terminated, START_S),
    Cell(
        "worker terminated in a rebalance",
        "SIGTERM loses and repeats nothing",
        worker_faults.terminated_in_a_rebalance,
        LEFT_BEHIND_S,
    ),
    Cell(
        "worker frozen beyond its session",
        "a worker that was away repeats nothing",
        frozen(SESSION_S + 4),
        LEFT_BEHIND_S + TRANSACTION_S,
    ),
    Cell(
        "worker frozen beyond the poll interval",
        "a worker that was away repeats nothing",
        frozen(POLL_INTERVAL_S + 6, **POLL_INTERVAL),
        LEFT_BEHIND_S + TRANSACTION_S,
    ),
    Cell(
        "worker frozen in a join",
        "a worker that was away repeats nothing",
        worker_faults.frozen_in_a_join,
        LEFT_BEHIND_S + TRANSACTION_S,
    ),
    Cell(
        "main thread stalled after-poll beyond the poll interval",
        "heartbeats alone keep no partitions",
        stalled("after-poll"),
        POLL_INTERVAL_S + LEFT_BEHIND_S,
    ),
    Cell(
        "main thread stalled before-commit beyond the poll interval",
        "heartbeats alone keep no partitions",
        stalled("before-commit"),
        POLL_INTERVAL_S + LEFT_BEHIND_S + TRANSACTION_S,
    ),
    Cell(
        "two workers join and leave at once",
        "a rebalance loses and repeats nothing",
        worker_faults.joining_and_leaving,
        LEFT_BEHIND_S,
    ),
    Cell(
        "clock of the worker leaps 2 h",
        "the wall clock is for stamps only, and books can be kept from any moment",
        worker_faults.clock_leaps,
        ON_AND_ON_S,
    ),
)

BROKERS = (
    Cell(
        "leader killed, restarted, elected again",
        "a broker less is no frame less",
        broker_faults.leader_killed,
        ELECTION_S,
    ),
    Cell(
        "group coordinator killed and restarted",
        "a broker less is no frame less",
        broker_faults.group_coordinator_killed,
        ELECTION_S,
    ),
    Cell(
        "transaction coordinator killed and restarted",
        "a broker less is no frame less",
        broker_faults.transaction_coordinator_killed,
        ELECTION_S,
    ),
    Cell("leaders moved", "who leads does not matter", broker_faults.moved(), ELECTION_S),
    Cell(
        "coordinators moved",
        "who coordinates does not matter",
        broker_faults.moved(*broker_faults.COORDINATORS),
        ELECTION_S,
    ),
    Cell(
        "all brokers down for 60 s",
        "a worker waits for its broker",
        broker_faults.all_brokers_down,
        broker_faults.OUTAGE_S + ELECTION_S,
    ),
    Cell("network cut for 4 s", "a short cut costs time only", broker_faults.cut_briefly, 4 + ELECTION_S),
    Cell(
        "network cut for 25 s",
        "a member that was cut off repeats nothing",
        broker_faults.cut_off,
        LEFT_BEHIND_S + TRANSACTION_S,
    ),
    Cell(
        "brokers away beyond the worker's patience",
        "it ends with exit code 75, for its supervisor",
        broker_faults.patience_exceeded,
        8 + 20 + START_S + TRANSACTION_S,
    ),
)

SURROUNDINGS = (
    Cell(
        "redis killed and restarted",
        "a cache that is away costs pictures, never verdicts",
        cache_faults.redis_killed,
        ON_AND_ON_S,
    ),
    Cell(
        "redis frozen",
        "a cache that is silent costs pictures, never verdicts",
        cache_faults.redis_frozen,
        ON_AND_ON_S,
    ),
    Cell("redis full", "a cache that is full costs pictures, never verdicts", cache_faults.redis_full, ON_AND_ON_S),
    Cell("redis slow", "a cache that is slow costs pictures, never verdicts", cache_faults.redis_slow, ON_AND_ON_S),
    Cell(
        "trainer killed in mid-retrain",
        "the old version stays, the next retrain goes live",
        trainer_faults.trainer_killed,
        ON_AND_ON_S,
    ),
    Cell("trainer's disk full", "the old version stays untouched", trainer_faults.trainer_out_of_disk, ON_AND_ON_S),
    Cell("model store gone", "resident models go on", release_faults.store_gone, ON_AND_ON_S, v1_judged_all),
    Cell(
        "worker restarted without model store",
        "its own copy of the models serves",
        release_faults.restarted_without_store,
        START_S,
        v1_judged_all,
    ),
    Cell(
        "corrupt release", "a bad release never goes live", release_faults.corrupt_release, ON_AND_ON_S, v1_judged_all
    ),
    Cell(
        "worker restarted after a corrupt release",
        "the version before serves",
        release_faults.restarted_after_a_corrupt_release,
        START_S,
        v1_judged_all,
    ),
    Cell("garbage on models", "what is no release is left out", release_faults.garbage_released, LEFT_BEHIND_S),
    Cell("worker's disk full", "resident models go on", release_faults.workers_disk_full, START_S),
)

POISON = (
    poisonous("in-decode", "segfault"),
    *map(poisonous_in_a_batch, IN_A_BATCH),
    Cell(
        "poisonous frame last of all",
        "a frame that kills workers kills three, then the line goes on",
        poison.poisoned_at_the_end,
        DEATHS_S,
        one_frame_is_given_up,
    ),
)

DASHBOARD_DEATHS = (
    ("step", KilledProjection, "the history's counts are those of the account, and a rebuild changes none"),
    ("step of the archive", KilledArchive, "every frame has its evidence once, no file is left over, the bound holds"),
    ("step of the review", KilledReview, "every word reaches `feedback` as it was said, and counts once"),
)
RESTARTS = Restarts("postgresql")
DASHBOARD = (
    *(
        dashboard_killed(step, kind(database), promise)
        for database in DATABASES
        for step, kind, promise in DASHBOARD_DEATHS
    ),
    Cell(
        "brokers and database restarted while the dashboard follows",
        "the dashboard lives, and the history's counts are those of the account",
        RESTARTS.run,
        OUTAGE_S,
        RESTARTS.proof,
    ),
)

CELLS = (*WORKERS, *BROKERS, *SURROUNDINGS, *POISON, *DASHBOARD)
