"""Show the good frames that look most like a frame."""

from dataclasses import dataclass
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.parameters.fields import NeighbourCount
from qc_dashboard.api.parameters.positions import stored_in
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import ApiParts, api_of
from qc_dashboard.api.pictures.showing import picture_problems
from qc_dashboard.api.review.shapes import GoodFrame, NearestGood
from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_dashboard.api.shapes.inspections import listed
from qc_dashboard.history.search import StoredInspection
from qc_dashboard.review.nearest import Compared


@dataclass(frozen=True, slots=True)
class NearestQuery:
    """Number of frames."""

    __pydantic_config__: ClassVar = DOCUMENTED

    count: NeighbourCount = 3
    """Most frames."""


def show_nearest_good(request: Request) -> Response:
    """Answer with the good frames of the line that look most like this one; none if its picture is gone."""
    count = query_of(request, NearestQuery).count
    api, stored = api_of(request), stored_in(request)
    with picture_problems("The frame"):
        look = api.review.samples.look(stored.source) or _look_now(api, stored)
    if look is None or stored.line is None:
        return json_answer(NearestGood(()))
    compared = Compared(stored.line, stored.camera, stored.source)
    near = api.review.samples.nearest(look, compared, count=count)
    found = [(one, api.history.inspection(one.source)) for one in near]
    frames = (GoodFrame(listed(good), one.distance, one.is_judged) for one, good in found if good is not None)
    return json_answer(NearestGood(tuple(frames)))


def _look_now(api: ApiParts, stored: StoredInspection) -> bytes | None:
    """Describe a frame that is not archived."""
    picture = api.pictures.frame(stored, large=False)
    return None if picture is None else api.pictures.look(picture)
