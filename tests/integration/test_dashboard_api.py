"""The API of `qc-dashboard run` over HTTP, on what a real worker has published."""

import asyncio
import io
import json
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import pytest
from PIL import Image

from qc_worker.wire.images import encode_frame
from tests.conftest import eventually
from tests.support.api import token_in
from tests.support.dashboard import DashboardProcess
from tests.support.factories import add_version, jpeg
from tests.support.plant import Plant

pytestmark = pytest.mark.apache_only

FRAMES = 20


@pytest.fixture
def dashboard(plant: Plant, tmp_path: Any) -> Any:
    process = DashboardProcess(plant, f"sqlite:///{tmp_path / 'history.sqlite3'}")
    yield process
    process.end()


def test_judged_frames_are_seen_judged_by_a_person_and_followed(plant: Plant, dashboard: DashboardProcess) -> None:
    url = eventually(dashboard.url)
    plant.train("A", "v1")
    plant.train("B", "v1")
    seen, last = asyncio.run(_followed(url, plant))
    assert seen == FRAMES
    with httpx.Client(base_url=url, timeout=60) as client:
        _look_and_judge(client)
    assert dashboard.stop() == 0
    assert last.startswith("at.")


async def _followed(url: str, plant: Plant) -> tuple[int, str]:
    """Judge frames under an open stream; return how many it counted, and the last event's id."""
    counted, last = 0, ""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client, client.stream("GET", "/api/v1/stream") as answer:
        lines = answer.aiter_lines()
        judging = asyncio.ensure_future(asyncio.to_thread(_judge, plant))
        while counted < FRAMES:
            line = await anext(lines)
            if line.startswith("id: "):
                last = line.removeprefix("id: ")
            if line.startswith("data: "):
                news = json.loads(line.removeprefix("data: ")).get("lines", [])
                counted += sum(sum(one["counts"].values()) for one in news)
        await judging
    return counted, last


def _judge(plant: Plant) -> None:
    with plant.worker():
        plant.push(FRAMES)
        plant.settled_inspections(FRAMES)


def _look_and_judge(client: httpx.Client) -> None:
    page = client.get("/api/v1/inspections", params={"limit": 500}).json()
    assert len(page["inspections"]) == FRAMES
    states = client.get("/api/v1/lines").json()["lines"]
    assert [(state["line"], state["release"]["version"]) for state in states] == [("A", "v1"), ("B", "v1")]
    links = page["inspections"][0]["links"]
    frame = client.get(links["frame"], params={"size": "large"})  # still on the topic
    assert Image.open(io.BytesIO(frame.content)).format == "JPEG"
    headers = {"X-CSRF-Token": token_in(client.get("/"))}
    taken = client.post(links["feedback"], json={"verdict": "defect", "kind": "scratch"}, headers=headers)
    assert taken.status_code == 202, taken.text
    feedback = eventually(lambda: client.get(links["inspection"]).json()["feedback"])
    assert [(one["kind"], one["accepted_by"]) for one in feedback] == [("scratch", "local")]


def test_a_version_that_is_promoted_judges_on_a_running_worker(plant: Plant, dashboard: DashboardProcess) -> None:
    url = eventually(dashboard.url)
    plant.train("A", "v1")
    add_version(plant.store, "A", "v2", seed=2)
    with plant.worker(), httpx.Client(base_url=url, timeout=60) as client:
        headers = {"X-CSRF-Token": token_in(client.get("/"))}
        body = {"line": "A", "version": "v2", "live": "v1"}
        done = client.post("/api/v1/models/A/promote", json=body, headers=headers)
        assert done.status_code == 202, done.text
        assert plant.store.releases("A")[-1].version == "v2"
        pushed = count()

        def judged_after_s() -> float | None:
            number = next(pushed)
            taken = datetime.now(UTC)
            frame = encode_frame(jpeg(number), line="A", camera="top", captured_at=taken, frame_id=f"f{number}")
            plant.camera.send(frame).position(timeout_s=30)
            (line,) = client.get("/api/v1/models").json()["lines"]
            found: float | None = line["judges_after_s"]
            return found if line["live"]["version"] == "v2" else None

        assert eventually(judged_after_s) >= 0
    assert dashboard.stop() == 0
