"""Judging a frame again by HTTP: aside, audited, and never twice at once."""

import asyncio
from typing import Any

import pytest

from tests.support.api import ApiRig
from tests.support.published import inspection

pytestmark = pytest.mark.anyio

ONE = "/inspections/images/0/0/replay"


async def done(rig: ApiRig) -> list[dict[str, Any]]:
    """Wait until nothing is open."""
    for _ in range(500):
        replays: list[dict[str, Any]] = (await rig.get(ONE))["replays"]
        if all(one["state"] in {"done", "failed"} for one in replays):
            return replays
        await asyncio.sleep(0.01)
    raise AssertionError("still open")


async def test_a_frame_is_judged_again_and_both_judgements_are_compared(rig: ApiRig) -> None:
    rig.write(inspection(0))
    assert (await rig.get(ONE))["replays"] == []
    async with rig.client() as client:
        answer = await rig.post(client, ONE, {})
        assert answer.status_code == 202, answer.text
        (one,) = await done(rig)
        assert (one["state"], one["same"], one["asked_by"], one["version"]) == ("done", True, "local", None)
        assert one["replayed"]["verdict"] == "pass"
        assert (await rig.post(client, ONE, {"version": "v2"})).status_code == 202
    newest, _ = await done(rig)
    assert (newest["same"], newest["version"], newest["replayed"]["model_version"]) == (None, "v2", "v2")
    assert [entry.action for entry in rig.accounts.audit.newest(5)].count("judge again") == 2


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (ONE, {"version": "../v1"}, 422),
        (ONE, {"version": "--help"}, 422),
        (ONE, {"verdict": "good"}, 422),
        ("/inspections/images/0/7/replay", {}, 404),
    ],
)
async def test_what_cannot_be_judged_again_is_refused(rig: ApiRig, path: str, body: Any, status: int) -> None:
    rig.write(inspection(0))
    async with rig.client() as client:
        assert (await rig.post(client, path, body)).status_code == status
