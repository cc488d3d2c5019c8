"""Show the page on which people judge frames; its scripts fill it from the API."""

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.parts import api_of
from qc_dashboard.review.candidates import ALWAYS
from qc_dashboard.review.wanted import ReviewOrder
from qc_dashboard.web.rendering import render
from qc_dashboard.web.requests import identity_of
from qc_worker.domain.inspection import Verdict

PATH = "/review"
ORDERS = {
    ReviewOrder.OLDEST: "Oldest first",
    ReviewOrder.DOUBTFUL: "Most doubtful first",
    ReviewOrder.VERDICT: "By verdict",
    ReviewOrder.LINE: "By line",
}
OFFERED = tuple(verdict for verdict in Verdict if verdict in ALWAYS | {Verdict.PASS})
"""Verdicts of which frames are in the queue."""


def show_review(request: Request) -> Response:
    """Show the page, empty."""
    context = {
        "person": identity_of(request).name,
        "lines": api_of(request).history.lines(),
        "orders": ORDERS,
        "verdicts": OFFERED,
    }
    return render(request, "pages/review.html", context)
