"""Judgements with what became of them, by HTTP."""

from pathlib import Path

import pytest

from qc_dashboard.database.database import Database
from tests.support.api import API, ApiRig
from tests.support.judgements import Judgements, sample_of

pytestmark = pytest.mark.anyio


async def test_last_judgements_are_listed_with_what_became_of_them(
    rig: ApiRig, database: Database, tmp_path: Path
) -> None:
    plant = Judgements(database, tmp_path)
    said = plant.say(0, by="local")
    plant.collect(said, 1)
    plant.retrain(3, "v1", 0)
    plant.judge(4, "v1")
    plant.say(2, "defect", offset=5, by="bob")
    plant.of(said)
    other, mine = (await rig.get("/feedback"))["feedback"]
    assert (other["accepted_by"], other["outcome"]["stage"]) == ("bob", "sent")
    assert mine["source"] == {"topic": "images", "partition": 0, "offset": 0}
    assert mine["outcome"] == {
        "stage": "live",
        "collection": "sample",
        "collected_at": "2026-11-23T12:01:00Z",
        "sample": sample_of(0),
        "replaced_by": None,
        "replaced_at": None,
        "version": "v1",
        "trained_at": "2026-11-23T12:03:00Z",
        "released_at": "2026-11-23T12:03:00Z",
        "live_at": "2026-11-23T12:04:00Z",
        "seconds_to_live": 240.0,
        "in_live_version": True,
        "unread_version": None,
    }
    assert [one["accepted_by"] for one in (await rig.get("/feedback", by="me"))["feedback"]] == ["local"]
    assert [one["accepted_by"] for one in (await rig.get("/feedback", by="bob", line="A"))["feedback"]] == ["bob"]
    assert (await rig.get("/feedback", line="B"))["feedback"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "whose=me", "by=a&by=b", "by=" + "a" * 257])
async def test_a_query_that_cannot_be_meant_is_refused(rig: ApiRig, query: str) -> None:
    async with rig.client() as client:
        assert (await client.get(f"{API}/feedback?{query}")).status_code == 400
