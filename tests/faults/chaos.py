"""Random workers suffer random faults, one or two at a time, from one seed."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack

from qc_worker.engine.stop import HARD_EXIT
from qc_worker.observability.exits import TRY_AGAIN
from qc_worker.runtime.failpoints import PLACES
from tests.conftest import DebianRedis
from tests.faults.cache_faults import REJECTS_ALL, redis_behind_a_proxy
from tests.faults.cameras import POISON
from tests.faults.leaping_clock import LeapingClock
from tests.faults.site import Site
from tests.support.apache_kafka.proxy import Proxy
from tests.support.plant import WorkerProcess

Faults = Mapping[str, Callable[["Chaos"], AbstractContextManager[None]]]
"""By name: entered, it is broken; left, it is mended."""

WORKERS = 2
DEATHS = {0, TRY_AGAIN, HARD_EXIT, -signal.SIGTERM, -signal.SIGKILL, -signal.SIGSEGV}
"""What workers may end with: in order, without brokers, hard after too long a stop, before they could stop, killed."""
POISON_DEATHS = ("in-decode@{}!segfault", "in-inference@{}!exhaust")
POLL_INTERVAL_MS = 10_000
HELD_S = (0.5, 9.0)
REST_S = (0.5, 4.0)


class Chaos:
    """Draws faults for a while and keeps workers alive all the while, as a supervisor would."""

    def __init__(self, site: Site, seed: int, *, kinds: Sequence[Faults]) -> None:
        self.site = site
        self.dice = random.Random(seed)
        self._kinds = kinds
        self.drawn: Counter[str] = Counter()
        self.clock = LeapingClock(site.plant.folder)
        self.redis: DebianRedis
        self.redis_proxy: Proxy
        self._redis_url = ""
        self._versions = 0
        self._calm = False

    def run(self, duration_s: float) -> None:
        """Break and mend; then let what is left be judged."""
        with redis_behind_a_proxy() as (self.redis, self.redis_proxy, self._redis_url):
            self.site.watch = self.supervise
            self.site.plant.train("A", "v2", scores=REJECTS_ALL)
            self.supervise()
            self.living()[0].wait_until_ready()
            self.site.send()
            until_s = time.monotonic() + duration_s
            while time.monotonic() < until_s:
                self._turn()
            self._calm = True
            self.site.heal()
            self.site.drained()
            self._end_with_one_worker()

    def told(self) -> str:
        """The faults drawn, and how often."""
        return ", ".join(f"{count} {name}" for name, count in sorted(self.drawn.items()))

    def living(self) -> list[WorkerProcess]:
        return [worker for worker in self.site.workers if worker.process.poll() is None]

    def supervise(self) -> None:
        """Start workers in the place of those that ended, which must have done so in a known way."""
        for worker in self.site.workers:
            assert worker.process.poll() in {None, *DEATHS}, worker.log_file.read_text()[-2000:]
        while len(self.living()) < WORKERS:
            self.site.start_worker(**self._environment())

    def version(self) -> str:
        """A new one."""
        self._versions += 1
        return f"r{self._versions}"

    def _turn(self) -> None:
        """A fault of one kind, or of several at once."""
        with ExitStack() as broken:
            for faults in self.dice.sample(self._kinds, self.dice.randint(1, len(self._kinds))):
                name = self.dice.choice(list(faults))
                self.drawn[name] += 1
                broken.enter_context(faults[name](self))
            self.site.hold(self.dice.uniform(*HELD_S))
        self.site.hold(self.dice.uniform(*REST_S))

    def _environment(self) -> Mapping[str, str]:
        """Of a worker by the luck of the dice; the wall clock, the cache and the poison are the same for all."""
        dice, environment = self.dice, {"QC_REDIS_URL": self._redis_url, **self.clock.environment}
        failpoints = [death.format(POISON) for death in POISON_DEATHS]
        environment["QC_MAX_POLL_INTERVAL_MS"] = str(POLL_INTERVAL_MS)
        if dice.random() < 0.4 and not self._calm:
            place, action = dice.choice(PLACES), dice.choice(("kill", "kill", "stall"))
            failpoints.append(f"{place}={dice.randrange(1, 300)}!{action}")
            self.drawn[f"{action} {place}"] += 1
        if dice.random() < 0.5:
            environment["QC_KAFKA_BOOTSTRAP_SERVERS"] = self.site.cluster.proxied_bootstrap_servers
        if dice.random() < 0.3:
            environment["QC_STATE_DIR"] = str(self.site.plant.folder / "another")
        return {**environment, "QC_FAILPOINTS": ",".join(failpoints)}

    def _end_with_one_worker(self) -> None:
        """Which needs neither this Redis nor a supervisor."""
        self._calm = True
        survivor = self.site.ready_worker()
        self.site.watch = lambda: None
        for worker in self.living():
            if worker is not survivor:
                worker.signal(signal.SIGTERM)
                worker.wait(20)
