import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.conftest import KAFKA_SESSION_TIMEOUT_MS, Services, started, started_redis
from tests.faults.cells import CELLS
from tests.faults.report import Report
from tests.integration.conftest import plant
from tests.support.apache_kafka.cluster import Cluster

__all__ = ["Draw", "plant"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield started(Cluster(3), stack)


@pytest.fixture(scope="session")
def cluster_services(cluster: Cluster) -> Iterator[Services]:
    with ExitStack() as stack:
        redis_url = started_redis(stack).redis_url
        yield Services(cluster.bootstrap_servers, redis_url, KAFKA_SESSION_TIMEOUT_MS, "exactly-once")


@pytest.fixture(scope="session")
def report() -> Report:
    return Report([cell.name for cell in CELLS])


@dataclass(frozen=True)
class Draw:
    """How long the random run breaks things, and what its dice start from."""

    duration_s: float
    seed: int


@pytest.fixture
def draw() -> Draw:
    return Draw(float(os.environ.get("QC_TEST_CHAOS_S", "600")), int(os.environ.get("QC_TEST_CHAOS_SEED", "1")))
