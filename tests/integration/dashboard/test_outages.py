"""An open Live page on real services: it says what is away or gone, recovers by itself, and its counts are exact."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.conftest import KAFKA_SESSION_TIMEOUT_MS, Services, eventually, started_redis
from tests.support.apache_kafka.cluster import Cluster
from tests.support.browsing import Opened
from tests.support.dashboard import DashboardProcess
from tests.support.plant import Plant
from tests.support.postgresql import PostgreSQL

FRAMES = 6
"""Frames sent at a time, half of them of line A."""


@pytest.fixture
def plant(one_broker: Cluster, tmp_path: Path) -> Iterator[Plant]:
    with ExitStack() as stack:
        redis_url = started_redis(stack).redis_url
        plant = Plant(Services(one_broker.bootstrap_servers, redis_url, KAFKA_SESSION_TIMEOUT_MS, "auto"), tmp_path)
        stack.callback(plant.close)
        plant.open()
        yield plant


@pytest.fixture
def address(plant: Plant, postgresql: PostgreSQL) -> Iterator[str]:
    with postgresql.new_database() as url:
        dashboard = DashboardProcess(plant, url)
        try:
            yield eventually(dashboard.url)
        finally:
            dashboard.end()


def test_live_names_what_is_away_and_recovers_without_a_reload(
    plant: Plant, address: str, one_broker: Cluster, postgresql: PostgreSQL, opened: Opened
) -> None:
    page = opened(address)
    troubles, workers = page.locator("#troubles"), page.locator("#workers")
    expect(page.get_by_role("heading", level=1)).to_have_text("No frame has arrived yet")
    plant.train("A", "v1")
    plant.push(FRAMES)
    expect(page.get_by_role("alert").last).to_contain_text(f"No worker runs. {FRAMES} frames wait.")

    card, without_model = page.locator("[data-line=A]"), page.locator("[data-line=B] .problems")

    def judged(count: int) -> None:
        expect(card.locator(".promised")).to_contain_text(f"Of {count} verdicts")
        expect(without_model).to_contain_text(f"{count} frames not judged. Nothing was released for this line")

    with plant.worker(QC_DEADLINE_MS='{"A": 1}') as worker:
        judged(FRAMES // 2)
        page.evaluate("window.opened = 'once'")
        expect(card.locator(".problems")).to_contain_text(f"{FRAMES // 2} late verdicts")
        expect(workers).to_contain_text("Workers: 1 · Frames waiting: 0")
        expect(troubles).to_be_empty()

        one_broker.brokers[0].kill()
        expect(troubles).to_contain_text("Broker away.")
        expect(card.locator(".state")).to_contain_text("Not known")
        one_broker.brokers[0].start()
        plant.push(FRAMES, first=FRAMES)
        judged(FRAMES)

        postgresql.stop()
        expect(troubles).to_contain_text("The database does not answer.")
        plant.push(FRAMES, first=2 * FRAMES)
        postgresql.start()
        judged(3 * FRAMES // 2)
        expect(workers).to_contain_text("Workers: 1 · Frames waiting: 0")

        worker.signal(signal.SIGKILL)
        plant.push(FRAMES, first=3 * FRAMES)
        expect(troubles).to_contain_text(f"No worker runs. {FRAMES} frames wait")
    assert page.evaluate("window.opened") == "once"
