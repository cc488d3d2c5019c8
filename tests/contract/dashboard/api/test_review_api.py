"""Reviewing by HTTP: leases, words, undo, kinds and figures, and what is refused."""

from typing import Any

import httpx
import pytest

from qc_dashboard.accounts.roles import Role
from qc_dashboard.archive.archive import FrameEvidence
from qc_dashboard.archive.looks import FrameLook, look_of
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from qc_worker.transport.outgoing import OutgoingRecord
from tests.contract.dashboard.api.test_feedback_api import sent, signed_in
from tests.support.api import API, LIMITS, ApiRig, csrf_token
from tests.support.factories import jpeg
from tests.support.published import inspection
from tests.support.review import LEASE_S

pytestmark = pytest.mark.anyio

PAGE, OTHER = "page-of-the-tests-1", "page-of-the-tests-2"


@pytest.fixture
def offered(rig: ApiRig) -> ApiRig:
    """Offer three rejects of line A, and a review of line B."""
    rig.write(
        *(inspection(n, verdict=Verdict.REJECT, image_size=(64, 96), model_version="v7") for n in range(3)),
        inspection(3, verdict=Verdict.REVIEW, line="B"),
    )
    rig.review.fill()
    return rig


async def posted(rig: ApiRig, client: httpx.AsyncClient, path: str, *, status: int = 200, **body: Any) -> Any:
    answer = await rig.post(client, f"/review/{path}", body)
    assert answer.status_code == status, answer.text
    return answer.json()


def offsets(claimed: Any) -> list[int]:
    return [frame["source"]["offset"] for frame in claimed["frames"]]


def word(offset: int, session: str = PAGE, **judgement: Any) -> dict[str, Any]:
    source = {"topic": "images", "partition": 0, "offset": offset}
    return {"session": session, "source": source, "judgement": {"verdict": "good", **judgement}}


async def test_pages_get_different_frames_with_all_that_they_need(offered: ApiRig) -> None:
    async with offered.client() as client:
        mine = await posted(offered, client, "claim", session=PAGE, count=2)
        others = await posted(offered, client, "claim", session=OTHER, count=16)
    assert (offsets(mine), offsets(others)) == ([0, 1], [2, 3])
    assert mine["left"] == {"open": 4, "leased_by_others": 0, "skipped": 0}
    assert others["left"] == {"open": 4, "leased_by_others": 2, "skipped": 0}
    assert (mine["lease_s"], mine["unsent"]) == (LEASE_S, 0)
    frame = mine["frames"][0]
    assert (frame["line"], frame["verdict"], frame["share"], frame["kinds"]) == ("A", "reject", 1, ["scratch", "dent"])
    assert frame["whole"]["inspection"]["model_version"] == "v7"
    assert frame["whole"]["links"]["frame"].startswith(f"{API}/inspections/images/0/0/")


async def test_a_page_gets_what_it_asks_for(offered: ApiRig) -> None:
    async with offered.client() as client:
        for asked, got in (
            ({"line": "B"}, [3]),
            ({"verdicts": ["review"]}, [3]),
            ({"order": "verdict"}, [3, 0, 1, 2]),
            ({"since": "2026-11-23T12:00:01Z", "until": "2026-11-23T12:00:03Z"}, [1, 2]),
            ({"line": "nowhere\0"}, []),
        ):
            await posted(offered, client, "release", session=PAGE)
            assert offsets(await posted(offered, client, "claim", session=PAGE, count=16, **asked)) == got


async def test_a_judgement_is_stored_once_and_sent(offered: ApiRig) -> None:
    box = {"x": 0, "y": 0, "width": 96, "height": 64}
    body = word(0, verdict="defect", kind="dent", boxes=[box])
    async with offered.client() as client:
        await posted(offered, client, "claim", session=PAGE)
        said = await posted(offered, client, "judge", **body)
        assert await posted(offered, client, "judge", **body) == said
        assert (await offered.get("/review/words", session=PAGE))["words"] == [said]
        assert offsets(await posted(offered, client, "claim", session=PAGE)) == [1]
    assert (said["verdict"], said["kind"], said["boxes"], said["sent"]) == ("defect", "dent", [box], False)
    (one,) = offered.review.sent()
    assert (one.source.offset, one.accepted_by, one.model_version, one.kind) == (0, "local", "v7", "dent")
    words = await offered.get("/review/words", session=PAGE)
    assert (words["words"][0]["sent"], words["unsent"]) == (True, 0)
    newest = offered.accounts.audit.newest(10)
    assert [entry.action for entry in newest] == ["judge frame"] * 2
    assert newest[0].detail == "images:0:0 defect dent"


async def test_a_word_waits_while_the_broker_is_away(offered: ApiRig) -> None:
    offered.broker.available = False
    async with offered.client() as client:
        await posted(offered, client, "claim", session=PAGE)
        await posted(offered, client, "judge", **word(0))
        assert (await posted(offered, client, "claim", session=PAGE))["unsent"] == 1
    offered.broker.available = True
    assert len(offered.review.sent()) == 1


async def test_undo_brings_the_frame_back(offered: ApiRig) -> None:
    async with offered.client() as client:
        await posted(offered, client, "undo", status=409, session=PAGE)
        await posted(offered, client, "claim", session=PAGE, count=2)
        await posted(offered, client, "judge", **word(0))
        offered.clock.advance(1)
        undone = await posted(offered, client, "undo", session=PAGE)
        assert undone["said"]["verdict"] == "unsure"
        assert undone["frame"]["source"]["offset"] == 0
        assert offsets(await posted(offered, client, "claim", session=PAGE, count=2)) == [1, 0]
        words = await offered.get("/review/words", session=PAGE)
    assert [(one["verdict"], one["undone"]) for one in words["words"]] == [("good", True)]


async def test_a_lease_is_renewed_and_a_lost_one_is_said(offered: ApiRig) -> None:
    async with offered.client() as client:
        await posted(offered, client, "claim", session=PAGE)
        offered.clock.advance(LEASE_S - 1)
        assert await posted(offered, client, "renew", session=PAGE) == {"leased": 1}
        offered.clock.advance(LEASE_S + 1)
        assert await posted(offered, client, "renew", session=PAGE) == {"leased": 0}
        assert offsets(await posted(offered, client, "claim", session=OTHER)) == [0]
        refused = await posted(offered, client, "judge", status=409, **word(0))
        await posted(offered, client, "skip", status=409, session=PAGE, source=word(0)["source"])
    assert "not leased to this session any more" in refused["detail"]
    assert sent(offered) == []


async def test_a_skipped_frame_goes_to_others_until_it_is_asked_for(offered: ApiRig) -> None:
    async with offered.client() as client:
        await posted(offered, client, "claim", session=PAGE)
        await posted(offered, client, "skip", session=PAGE, source=word(0)["source"])
        claimed = await posted(offered, client, "claim", session=PAGE, line="A")
        assert (offsets(claimed), claimed["left"]["skipped"]) == ([1], 1)
        assert await posted(offered, client, "unskip", session=PAGE) == {"frames": 1}
        await posted(offered, client, "release", session=PAGE)
        assert offsets(await posted(offered, client, "claim", session=PAGE)) == [0]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (word(0, kind="dent"), 422),
        (word(0, verdict="defect", kind="hole"), 422),
        (word(0, verdict="defect", boxes=[{"x": 90, "y": 0, "width": 7, "height": 1}]), 422),
        (word(0, session="short"), 422),
        (word(9), 404),
        ({**word(0), "accepted_by": "somebody else"}, 422),
    ],
)
async def test_a_word_that_cannot_be_kept_is_refused(offered: ApiRig, body: dict[str, Any], status: int) -> None:
    async with offered.client() as client:
        await posted(offered, client, "claim", session=PAGE)
        await posted(offered, client, "judge", status=status, **body)
        assert offsets(await posted(offered, client, "claim", session=PAGE)) == [0]


async def test_a_page_belongs_to_the_person_who_is_signed_in(offered: ApiRig) -> None:
    async with offered.client() as client:
        await posted(offered, client, "claim", session=PAGE)
        await posted(offered, client, "judge", **word(0))
        await signed_in(offered, client, Role.OPERATOR)
        await posted(offered, client, "undo", status=409, session=PAGE)
        assert (await offered_words(client))["words"] == []
        put = await client.put(f"{API}/review/kinds", json={"line": "A", "kinds": []}, headers=await token(client))
        assert put.status_code == 403


async def test_a_viewer_sees_figures_and_gets_no_frame(offered: ApiRig) -> None:
    async with offered.client() as client:
        await signed_in(offered, client, Role.VIEWER)
        assert (await client.get(f"{API}/review/statistics")).status_code == 200
        await posted(offered, client, "claim", status=403, session=PAGE)


async def test_figures_say_what_is_left_and_by_whom(offered: ApiRig) -> None:
    async with offered.client() as client:
        await posted(offered, client, "claim", session=PAGE)
        offered.clock.advance(3)
        await posted(offered, client, "judge", **word(0, verdict="defect"))
        await posted(offered, client, "claim", session=PAGE)
    figures = await offered.get("/review/statistics")
    assert (figures["open"], figures["leased"], figures["unsent"], figures["gone"]) == (3, 1, 1, 0)
    (work,) = figures["people"]
    assert (work["person"], work["defect"], work["good"], work["mean_looked_s"]) == ("local", 1, 0, 3.0)
    assert (await offered.get("/review/statistics", line="B"))["people"] == []


async def test_a_line_may_have_kinds_of_its_own(offered: ApiRig) -> None:
    async with offered.client() as client:
        body = {"line": "A", "kinds": ["hole", "scratch"]}
        assert (await client.put(f"{API}/review/kinds", json=body, headers=await token(client))).json() == body
        wrong = {"line": "A", "kinds": ["a/b"]}
        refused = await client.put(f"{API}/review/kinds", json=wrong, headers=await token(client))
        assert refused.status_code == 422
    assert (await offered.get("/review/kinds", line="A"))["kinds"] == ["hole", "scratch"]
    assert (await offered.get("/review/kinds"))["kinds"] == ["scratch", "dent"]
    assert offered.accounts.audit.newest(2)[1].detail == "line A: hole, scratch"


async def test_a_frame_that_the_history_forgot_leaves_the_queue(offered: ApiRig) -> None:
    with offered.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM inspections WHERE source_offset < 2")
    async with offered.client() as client:
        claimed = await posted(offered, client, "claim", session=PAGE, count=2)
    assert (offsets(claimed), claimed["left"]["open"]) == ([2, 3], 2)


async def test_good_frames_that_look_like_one_are_shown(rig: ApiRig) -> None:
    """Compare a frame that is not archived yet, and say nothing about one whose picture is gone."""
    content = jpeg()
    look = look_of(content, LIMITS)
    assert look is not None
    shown = FrameLook("A", "top", 0, look)
    rig.write(*(inspection(n, verdict=Verdict.REJECT if n else Verdict.PASS) for n in range(3)))
    rig.plant.keep(FrameEvidence(Position("images", 0, 0), Verdict.PASS, 0, content, look=shown))
    for _ in range(2):
        rig.broker.append(OutgoingRecord("images", b"A/top", content, []))
    (good,) = (await rig.get("/inspections/images/0/1/nearest-good"))["frames"]
    assert (good["inspection"]["source"]["offset"], good["distance"], good["judged"]) == (0, 0, False)
    assert (await rig.get("/inspections/images/0/2/nearest-good"))["frames"] == []


async def offered_words(client: httpx.AsyncClient) -> Any:
    return (await client.get(f"{API}/review/words", params={"session": PAGE})).json()


async def token(client: httpx.AsyncClient) -> dict[str, str]:
    return {"X-CSRF-Token": await csrf_token(client)}
