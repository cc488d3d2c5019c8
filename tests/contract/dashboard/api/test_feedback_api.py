"""Judging by HTTP: one message on `feedback` for each judgement, with who and when."""

from typing import Any

import httpx
import pytest

from qc_dashboard.accounts.audit import THIS_MACHINE, AuditEntry
from qc_dashboard.accounts.identity import Identity, Proof
from qc_dashboard.accounts.roles import Role
from qc_dashboard.review.wanted import Wanted
from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.inspection import Verdict
from tests.support.api import API, ApiRig, csrf_token
from tests.support.factories import NOON
from tests.support.published import inspection

pytestmark = pytest.mark.anyio

ONE = "/inspections/images/0/0/feedback"
PASSWORD = "correct horse battery staple"


def sent(rig: ApiRig) -> list[Feedback]:
    return rig.review.sent()


async def signed_in(rig: ApiRig, client: httpx.AsyncClient, role: Role) -> None:
    by = AuditEntry(Identity("root", Role.ENGINEER, Proof.COMMAND_LINE), THIS_MACHINE, "add user")
    rig.accounts.users.add("Ada", PASSWORD, role, by=by)
    form = {"name": "Ada", "password": PASSWORD, "csrf_token": await csrf_token_of_sign_in(client)}
    assert (await client.post("/sign-in", data=form)).status_code == 303


async def csrf_token_of_sign_in(client: httpx.AsyncClient) -> str:
    page = await client.get("/sign-in")
    return page.text.split('name="csrf_token" value="')[1].split('"')[0]


@pytest.mark.parametrize(
    "body",
    [
        {"verdict": "good"},
        {"verdict": "unsure"},
        {"verdict": "defect"},
        {"verdict": "defect", "kind": "scratch", "boxes": [{"x": 0, "y": 0, "width": 96, "height": 64}]},
    ],
)
async def test_a_judgement_is_one_message_with_who_when_and_which_version(rig: ApiRig, body: dict[str, Any]) -> None:
    rig.write(inspection(0, image_size=(64, 96), model_version="v7"))
    async with rig.client() as client:
        answer = await rig.post(client, ONE, body)
    assert answer.status_code == 202, answer.text
    (one,) = sent(rig)
    assert (one.line, one.frame_id, one.source.offset) == ("A", "f0", 0)
    assert (one.verdict, one.kind, len(one.boxes)) == (body["verdict"], body.get("kind"), len(body.get("boxes", ())))
    assert (one.accepted_by, one.accepted_at, one.model_version) == ("local", NOON, "v7")
    assert answer.json()["accepted_by"] == "local"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"verdict": "fine"},
        {"verdict": "good", "kind": "scratch"},
        {"verdict": "good", "accepted_by": "somebody else"},
        {"verdict": "defect", "kind": "a/b"},
        {"verdict": "defect", "kind": "good"},
        {"verdict": "defect", "kind": "a kind of no line"},
        {"verdict": "defect", "boxes": [{"x": 0, "y": 0, "width": 0, "height": 1}]},
        {"verdict": "defect", "boxes": [{"x": 90, "y": 0, "width": 7, "height": 1}]},
        {"verdict": "defect", "boxes": [{"x": "1", "y": 0, "width": 7, "height": 1}]},
        {"verdict": "defect", "boxes": [{"x": 1, "y": 1, "width": 1, "height": 1}] * 65},
        [],
    ],
)
async def test_a_judgement_that_cannot_be_kept_is_refused_and_not_sent(rig: ApiRig, body: Any) -> None:
    rig.write(inspection(0, image_size=(64, 96)))
    async with rig.client() as client:
        answer = await rig.post(client, ONE, body)
    assert answer.status_code == 422
    assert sent(rig) == []


async def test_a_record_without_a_line_cannot_be_judged(rig: ApiRig) -> None:
    rig.write(inspection(0, line=None, frame_id=None))
    async with rig.client() as client:
        assert (await rig.post(client, ONE, {"verdict": "good"})).status_code == 404
    assert sent(rig) == []


async def test_only_json_is_taken(rig: ApiRig) -> None:
    rig.write(inspection(0))
    async with rig.client() as client:
        headers = {"X-CSRF-Token": await csrf_token(client), "Content-Type": "text/plain"}
        answer = await client.post(f"{API}{ONE}", content=b'{"verdict": "good"}', headers=headers)
    assert answer.status_code == 415


async def test_a_judgement_waits_for_a_broker_that_is_away(rig: ApiRig) -> None:
    rig.write(inspection(0))
    rig.broker.available = False
    async with rig.client() as client:
        answer = await rig.post(client, ONE, {"verdict": "good"})
    assert (answer.status_code, answer.json()["sent"]) == (202, False)
    rig.broker.available = True
    assert [one.verdict for one in sent(rig)] == [Judgement.GOOD]


async def test_a_frame_that_was_judged_on_its_page_leaves_the_queue(rig: ApiRig) -> None:
    rig.review.inspect(inspection(0, verdict=Verdict.REVIEW))
    assert rig.review.queue.left(None, Wanted()).open == 1
    async with rig.client() as client:
        assert (await rig.post(client, ONE, {"verdict": "good"})).status_code == 202
    assert rig.review.queue.left(None, Wanted()).open == 0


async def test_a_viewer_looks_and_does_not_judge(rig: ApiRig) -> None:
    rig.write(inspection(0))
    async with rig.client() as client:
        await signed_in(rig, client, Role.VIEWER)
        assert (await client.get(f"{API}/inspections")).status_code == 200
        assert (await rig.post(client, ONE, {"verdict": "good"})).status_code == 403
    assert sent(rig) == []


async def test_an_operator_judges_in_their_own_name_and_the_audit_has_it(rig: ApiRig) -> None:
    rig.write(inspection(0))
    async with rig.client() as client:
        await signed_in(rig, client, Role.OPERATOR)
        assert (await rig.post(client, ONE, {"verdict": "defect", "kind": "dent"})).status_code == 202
    assert [one.accepted_by for one in sent(rig)] == ["Ada"]
    newest = rig.accounts.audit.newest(1)[0]
    assert (newest.name, newest.action, newest.status, newest.detail) == ("Ada", "judge frame", 202, "defect dent")


async def test_nobody_from_another_machine_sees_anything(rig: ApiRig) -> None:
    rig.write(inspection(0))
    async with rig.client(address="192.0.2.7") as client:
        for path in ("/lines", "/inspections", "/inspections.csv", "/models", "/stream", "/inspections/images/0/0"):
            answer = await client.get(f"{API}{path}")
            assert (answer.status_code, answer.json()["title"]) == (401, "Unauthorized")
