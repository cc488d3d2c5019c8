"""A person judges a frame good: follow it through the real processes to a live version that learned from it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from time import monotonic
from typing import Any

import httpx

from qc_worker.wire.images import encode_frame
from tests.conftest import eventually
from tests.support.api import token_in
from tests.support.dashboard import DashboardProcess
from tests.support.plant import Plant
from tests.unit.trainer.factories import filled_store, png

QUICK = ("--input-size", "64", "--steps", "150")


@dataclass(frozen=True, slots=True)
class Learned:
    """One judgement as the API tells it at the end, and the seconds that each step of it took."""

    judgement: dict[str, Any]
    links: dict[str, str]
    retrained: dict[str, Any]
    seconds: dict[str, float]


class Lesson:
    """A line with a live model and samples, a worker and a dashboard; both run already."""

    def __init__(self, plant: Plant, dashboard: DashboardProcess, *, good: int = 24) -> None:
        self._plant = plant
        self._client = httpx.Client(base_url=eventually(dashboard.url), timeout=60)
        filled_store(plant.folder / "state" / "samples", good=good)

    def close(self) -> None:
        self._client.close()

    def learn(self, *retraining: str) -> Learned:
        """Judge a new frame good, collect, retrain with these options, and wait until the new version judges."""
        links = self._seen(self._push(900))
        pressed = monotonic()
        headers = {"X-CSRF-Token": token_in(self._client.get("/"))}
        assert self._client.post(links["feedback"], json={"verdict": "good"}, headers=headers).status_code == 202
        seconds = {"sent": monotonic() - pressed}
        self._plant.command("trainer.cli", "collect", "--json")
        self._until(links, "sample")
        done = self._plant.command("trainer.cli", "retrain", "--line", "A", "--json", *retraining)
        self._until(links, "trained")
        retrained = json.loads(done.stdout)
        judgement = self._judged_by(retrained["version"], links)
        return Learned(judgement, links, retrained, {**seconds, **_seconds(judgement)})

    def judge_again(self, links: dict[str, str]) -> dict[str, Any]:
        """Have a frame judged again, and return the replay when it has ended."""
        path = f"{links['inspection']}/replay"
        headers = {"X-CSRF-Token": token_in(self._client.get("/"))}
        assert self._client.post(path, json={}, headers=headers).status_code == 202

        def ended() -> dict[str, Any] | None:
            (replay,) = self._client.get(path).json()["replays"]
            return replay if replay["state"] in {"done", "failed"} else None

        return eventually(ended, timeout_s=120)

    def _push(self, number: int) -> str:
        """Send a frame of line A, and return its id."""
        frame_id = f"frame-{number}"
        message = encode_frame(png(number), line="A", camera="top", captured_at=datetime.now(UTC), frame_id=frame_id)
        self._plant.camera.send(message).position(timeout_s=30)
        return frame_id

    def _seen(self, frame_id: str) -> dict[str, str]:
        """Wait until the frame is in the history; return the paths of what belongs to it."""

        def found() -> dict[str, str] | None:
            page = self._client.get("/api/v1/inspections", params={"frame_id": frame_id}).json()["inspections"]
            return page[0]["links"] if page else None

        return eventually(found)

    def _until(self, links: dict[str, str], stage: str) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            (judgement,) = self._client.get(links["inspection"]).json()["feedback"] or [None]
            return judgement if judgement and judgement["outcome"]["stage"] == stage else None

        return eventually(reached, timeout_s=60)

    def _judged_by(self, version: str, links: dict[str, str]) -> dict[str, Any]:
        """Go on sending frames, as a line does, until the version judges one."""
        for number in range(1000, 1600):
            self._seen(self._push(number))
            (judgement,) = self._client.get(links["inspection"]).json()["feedback"]
            if judgement["outcome"]["stage"] == "live":
                return dict(judgement)
        raise AssertionError(f"{version} has judged no frame")


def _seconds(judgement: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of each step, from the times that the API tells."""
    outcome = judgement["outcome"]
    names = ("collected_at", "trained_at", "released_at", "live_at")
    times = [datetime.fromisoformat(text) for text in (judgement["accepted_at"], *(outcome[name] for name in names))]
    lasted = ((later - earlier).total_seconds() for earlier, later in pairwise(times))
    steps = dict(zip((name.removesuffix("_at") for name in names), lasted, strict=True))
    return {**steps, "good_to_live": outcome["seconds_to_live"]}
