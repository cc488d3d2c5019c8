"""Versions by HTTP: what their cards say, thresholds to compare, and which one is live."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from qc_dashboard.accounts.audit import THIS_MACHINE, AuditEntry
from qc_dashboard.accounts.identity import Identity, Proof
from qc_dashboard.accounts.roles import Role
from qc_dashboard.history.writing import HistoryWriter
from qc_worker.domain.errors import TransportError
from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from qc_worker.domain.release import Release
from qc_worker.ports.feeds import PublishedFeedback, PublishedRelease
from qc_worker.ports.models import ModelStore
from qc_worker.registry.stored_versions import StoredVersions
from qc_worker.wire.json_types import encode_feedback, encode_release
from tests.support.api import API, ApiRig
from tests.support.factories import NOON, add_version, share_head
from tests.support.published import inspection

pytestmark = pytest.mark.anyio

SCORES = tuple(float(score) for score in range(99))
PASSWORD = "correct horse battery staple"


@pytest.fixture
def stored(rig: ApiRig) -> ApiRig:
    """v1 and v2 of line A share a head, v3 has another; v1 is live."""
    add_version(rig.store, version="v1", scores=SCORES)
    share_head(rig.store, version="v2", scores=SCORES[:50] + SCORES[-49:])
    add_version(rig.store, version="v3", seed=3, scores=SCORES)
    known(rig, rig.versions.promote("A", "v1"))
    return rig


def known(rig: ApiRig, release: Release) -> None:
    """Have the release in the history, as the projection writes it."""
    published = PublishedRelease(release, Position("models", 0, 0), encode_release(release))
    HistoryWriter(rig.database).add_releases([published])


def said(rig: ApiRig, offset: int, verdict: Judgement) -> None:
    one = Feedback("A", f"f{offset}", Position("images", 0, offset), verdict, "Ada", NOON)
    HistoryWriter(rig.database).add_feedback([PublishedFeedback(one, Position("feedback", 0, 0), encode_feedback(one))])


async def released(rig: ApiRig, how: str = "promote", **changes: Any) -> httpx.Response:
    body = {"line": "A", "version": "v2", "live": "v1", **changes}
    async with rig.client() as client:
        return await rig.post(client, f"/models/A/{how}", body)


async def test_versions_are_listed_with_what_their_cards_say(stored: ApiRig) -> None:
    answer = await stored.get("/models/A")
    assert [one["version"] for one in answer["versions"]] == ["v3", "v2", "v1"]
    assert (answer["live"], answer["rolls_back_to"], answer["left_out"]) == ("v1", None, 0)
    live = answer["versions"][-1]
    assert (live["is_live"], live["action"], live["problem"]) == (True, "promote", None)
    assert live["card"]["max_false_reject"] == 0.25
    assert live["card"]["smallest_max_false_reject"] == 0.01
    assert (live["card"]["threshold"], live["card"]["backbone"]) == (74.0, "efficientnet_lite0")
    assert answer["versions"][1]["card"]["head_of"] == "v1"


async def test_a_card_that_cannot_be_used_is_told_and_the_others_are_shown(stored: ApiRig, tmp_path: Any) -> None:
    (tmp_path / "models" / "A" / "v3" / "card.json").write_text('{"line": "<script>"}')
    newest, *others = (await stored.get("/models/A"))["versions"]
    assert newest["card"] is None
    assert "is not a model card" in newest["problem"]
    assert all(one["card"] for one in others)


@pytest.mark.parametrize("path", ["/models/..%2f..", "/models/.A", "/models/B", "/models/A/v9/thresholds"])
async def test_names_that_lead_elsewhere_and_unknown_ones_are_not_found(stored: ApiRig, path: str) -> None:
    async with stored.client() as client:
        assert (await client.get(f"{API}{path}")).status_code == 404


async def test_thresholds_count_what_they_would_have_done(stored: ApiRig) -> None:
    stored.write(*(inspection(n, score=float(n), model_version="v1" if n % 2 else "v2") for n in range(40, 100)))
    stored.write(inspection(100, score=1.0, model_version="v3"), inspection(101, score=None, model_version=None))
    for offset, verdict in ((95, Judgement.GOOD), (41, Judgement.DEFECT), (42, Judgement.UNSURE), (99, Judgement.GOOD)):
        said(stored, offset, verdict)
    said(stored, 100, Judgement.GOOD)  # of another head
    table = await stored.get("/models/A/v1/thresholds")
    assert (table["counted"], table["other_models"], table["not_judged"]) == (60, 1, 1)
    assert (table["good"], table["defects"], table["held_out"]) == (2, 1, 99)
    (current,) = [row for row in table["rows"] if row["is_current"]]
    assert (current["passed"], current["rejected"]) == (35, 25)
    assert (current["good_rejected"], current["defects_passed"]) == (2, 1)
    assert current["interval"][0] < 0.25 < current["interval"][1]
    rates = [row["max_false_reject"] for row in table["rows"]]
    assert rates == sorted(rates)
    assert (await stored.get("/models/A/v1/thresholds", last=10))["counted"] == 8


async def test_a_version_goes_live_is_announced_and_rolls_back(stored: ApiRig) -> None:
    answer = await released(stored)
    assert answer.status_code == 202, answer.text
    assert stored.releases.read_all()["A"].version == "v2"
    known(stored, stored.releases.read_all()["A"])
    assert (await stored.get("/models/A"))["rolls_back_to"] == "v1"
    assert (await released(stored, "rollback", version="v1", live="v2")).status_code == 202
    assert stored.releases.read_all()["A"].version == "v1"
    newest = stored.accounts.audit.newest(1)[0]
    assert (newest.action, newest.detail, newest.status) == ("roll back", "A: v1 instead of v2", 202)


async def test_when_workers_judge_with_a_release_is_told(stored: ApiRig) -> None:
    await released(stored)
    release = stored.releases.read_all()["A"]
    known(stored, release)
    (line,) = (await stored.get("/models"))["lines"]
    assert (line["live"]["version"], line["judges_since"], line["judges_after_s"]) == ("v2", None, None)
    later = release.released_at + timedelta(milliseconds=800)
    stored.write(inspection(1, model_version="v2", captured_at=later, scored_at=later))
    (line,) = (await stored.get("/models"))["lines"]
    assert line["judges_after_s"] == 0.8


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"line": "B"}, 422),
        ({"version": "../v1"}, 422),
        ({"version": "v9"}, 422),
        ({"live": None}, 409),
        ({"live": "v3"}, 409),
        ({"force": True}, 422),
    ],
)
async def test_what_is_not_confirmed_or_not_there_changes_nothing(
    stored: ApiRig, changes: dict[str, Any], status: int
) -> None:
    before = stored.store.releases("A")
    answer = await released(stored, **changes)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"].endswith(".")
    assert stored.store.releases("A") == before


async def test_a_broken_version_is_refused_with_the_reason(stored: ApiRig, tmp_path: Any) -> None:
    (tmp_path / "models" / "A" / "v3" / "head.safetensors").write_bytes(b"broken")
    answer = await released(stored, version="v3")
    assert (answer.status_code, "sha256 differs" in answer.json()["detail"]) == (422, True)
    assert stored.releases.read_all()["A"].version == "v1"


async def test_of_two_engineers_at_once_one_is_told_that_the_other_was_faster(stored: ApiRig) -> None:
    answers = await asyncio.gather(released(stored), released(stored, version="v3"))
    assert sorted(answer.status_code for answer in answers) == [202, 409]
    (refused,) = [answer for answer in answers if answer.status_code == 409]
    assert "went live meanwhile" in refused.json()["detail"]
    assert stored.store.releases("A")[-1] == stored.releases.read_all()["A"]


async def test_a_store_that_is_away_is_one_sentence_and_the_history_still_answers(stored: ApiRig) -> None:
    def away() -> ModelStore:
        raise TransportError("ftp://user:secret@store")

    stored.versions._opened, stored.versions._open_store = None, away
    async with stored.client() as client:
        for path in ("/models/A", "/models/A/v2/thresholds"):
            answer = await client.get(f"{API}{path}")
            assert (answer.status_code, "secret" in answer.text) == (503, False)
    assert (await released(stored)).status_code == 503
    assert (await stored.get("/models"))["lines"][0]["live"]["version"] == "v1"


async def test_a_broker_that_is_away_is_told_and_the_same_can_be_repeated(stored: ApiRig) -> None:
    stored.broker.available = False
    answer = await released(stored)
    assert (answer.status_code, "was not announced" in answer.json()["detail"]) == (503, True)
    stored.broker.available = True
    assert (await released(stored, live="v2")).status_code == 202


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_only_engineers_release(stored: ApiRig, role: Role) -> None:
    by = AuditEntry(Identity("root", Role.ENGINEER, Proof.COMMAND_LINE), THIS_MACHINE, "add user")
    stored.accounts.users.add("Ada", PASSWORD, role, by=by)
    async with stored.client() as client:
        token = (await client.get("/sign-in")).text.split('name="csrf_token" value="')[1].split('"')[0]
        await client.post("/sign-in", data={"name": "Ada", "password": PASSWORD, "csrf_token": token})
        assert (await client.get(f"{API}/models/A")).status_code == 200
        body = {"line": "A", "version": "v2", "live": "v1"}
        for how in ("promote", "rollback"):
            assert (await stored.post(client, f"/models/A/{how}", body)).status_code == 403
    assert stored.releases.read_all()["A"].version == "v1"


def test_cards_are_read_once(stored: ApiRig) -> None:
    versions = StoredVersions(lambda: stored.store, stored.releases, stored.clock)
    assert versions.card("A", "v1") is versions.card("A", "v1")
    assert Verdict.REJECT is versions.card("A", "v1").calibration.verdict(75.0)
