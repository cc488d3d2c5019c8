"""Hand out frames to review: claim, renew, give back, skip."""

from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.inspections import whole_of
from qc_dashboard.api.parameters.bodies import body_of
from qc_dashboard.api.parts import ApiParts, api_of
from qc_dashboard.api.review.given import GivenClaim, GivenFrame, GivenSession
from qc_dashboard.api.review.reviewers import review_errors, reviewer_of
from qc_dashboard.api.review.shapes import Claimed, LeftToReview, Renewed, Returned, ReviewFrame
from qc_dashboard.history.times import from_us, to_us
from qc_dashboard.review.wanted import Leased, Reviewer, Wanted

CLAIM, FRAME, SESSION = TypeAdapter(GivenClaim), TypeAdapter(GivenFrame), TypeAdapter(GivenSession)


async def claim_frames(request: Request) -> Response:
    """Lease frames to the page, and answer with all that it has and with what is left."""
    given = await body_of(request, CLAIM)
    return await run_in_threadpool(_claim, request, given)


async def renew_leases(request: Request) -> Response:
    """Extend the leases of the page."""
    given = await body_of(request, SESSION)
    renew = api_of(request).review.queue.renew
    return json_answer(Renewed(await run_in_threadpool(renew, reviewer_of(request, given.session))))


async def release_frames(request: Request) -> Response:
    """Give back all that the page has."""
    given = await body_of(request, SESSION)
    await run_in_threadpool(api_of(request).review.queue.release, reviewer_of(request, given.session))
    return json_answer(Renewed(0))


async def skip_frame(request: Request) -> Response:
    """Give a frame back, and hand it out to other pages only."""
    given = await body_of(request, FRAME)
    with review_errors():
        skip = api_of(request).review.queue.skip
        await run_in_threadpool(skip, reviewer_of(request, given.session), given.source.position)
    return json_answer(Returned(1))


async def show_skipped(request: Request) -> Response:
    """Hand out to the page again what it has skipped."""
    given = await body_of(request, SESSION)
    show = api_of(request).review.queue.show_skipped
    return json_answer(Returned(await run_in_threadpool(show, reviewer_of(request, given.session))))


def review_frame(api: ApiParts, leased: Leased) -> ReviewFrame | None:
    """Complete a leased frame with its inspection; None if the history has none any more."""
    stored = api.history.inspection(leased.source)
    if stored is None:
        return None
    return ReviewFrame(
        leased.source,
        leased.line,
        leased.verdict,
        leased.doubt,
        leased.share,
        from_us(leased.leased_until_us),
        leased.said,
        api.review.kinds.of(leased.line),
        whole_of(api, stored),
    )


def _claim(request: Request, given: GivenClaim) -> Response:
    api, reviewer = api_of(request), reviewer_of(request, given.session)
    wanted = Wanted(
        given.line,
        given.verdicts,
        None if given.since is None else to_us(given.since),
        None if given.until is None else to_us(given.until),
        given.order,
    )
    frames = tuple(_claimed(api, reviewer, wanted, given.count))
    left = api.review.queue.left(reviewer, wanted)
    shown = LeftToReview(left.open, left.leased_by_others, left.skipped)
    return json_answer(Claimed(frames, shown, api.review.queue.lease_s, api.review.unsent()))


def _claimed(api: ApiParts, reviewer: Reviewer, wanted: Wanted, count: int) -> list[ReviewFrame]:
    """Claim frames; those that the history has forgotten leave the queue, so that others come in their place."""
    while True:
        leased = api.review.queue.claim(reviewer, wanted, count=count)
        frames = [(one.source, review_frame(api, one)) for one in leased]
        forgotten = [source for source, frame in frames if frame is None]
        if not forgotten:
            return [frame for _, frame in frames if frame is not None]
        api.review.queue.withdraw(forgotten)
