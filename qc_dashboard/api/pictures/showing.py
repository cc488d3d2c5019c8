"""Show the frame and the heatmap of one inspection."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.parameters.positions import stored_in
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import api_of
from qc_dashboard.api.pictures.pictures import PictureSource
from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_dashboard.database.failures import DatabaseAway
from qc_dashboard.web.problems import RETRY_AFTER_S, Problem
from qc_worker.domain.errors import InvalidFrame, TransportError

JPEG, PNG = "image/jpeg", "image/png"
KEPT = "private, max-age=3600"
"""A frame never changes; after an hour browsers ask if the tag is still the same."""
GONE = "{what} is kept no longer, neither in the cache nor in the archive nor on the topic."
AWAY = "The place that keeps the picture does not answer at the moment."


class Size(StrEnum):
    """Size of a frame's picture."""

    SMALL = "small"
    """Sides of at most 512 pixels."""
    LARGE = "large"
    """Sides of at most 2048 pixels."""


@dataclass(frozen=True, slots=True)
class FrameQuery:
    """Choice of the size."""

    __pydantic_config__: ClassVar = DOCUMENTED

    size: Size = Size.SMALL
    """`small`: sides of at most 512 pixels, `large`: of at most 2048."""


def show_frame(request: Request) -> Response:
    """Answer with the frame as JPEG."""
    large = query_of(request, FrameQuery).size is Size.LARGE
    pictures, stored = api_of(request).pictures, stored_in(request)
    return _answer(request, "The frame", lambda: pictures.frame(stored, large=large), pictures.jpeg, JPEG)


def show_heatmap(request: Request) -> Response:
    """Answer with the heatmap over the frame as PNG."""
    pictures, stored = api_of(request).pictures, stored_in(request)
    return _answer(request, "The heatmap", lambda: pictures.heatmap(stored), pictures.png, PNG)


def _answer(
    request: Request,
    what: str,
    find: Callable[[], PictureSource | None],
    encode: Callable[[PictureSource], bytes],
    media_type: str,
) -> Response:
    with picture_problems(what):
        source = find()
        if source is None:
            raise Problem(404, GONE.format(what=what))
        headers = {"ETag": f'"{source.tag}"', "Cache-Control": KEPT}
        if headers["ETag"] in _tags(request):
            return Response(status_code=304, headers=headers)
        return Response(encode(source), media_type=media_type, headers=headers)


@contextmanager
def picture_problems(what: str) -> Iterator[None]:
    """Raise Problem for a picture that cannot be decoded, or whose place is away."""
    try:
        yield
    except InvalidFrame as error:
        raise Problem(404, f"{what} is not a picture that can be shown: {error.detail}.") from None
    except DatabaseAway:
        raise
    except TransportError:
        raise Problem(503, AWAY, headers={"Retry-After": str(RETRY_AFTER_S)}) from None


def _tags(request: Request) -> set[str]:
    given = request.headers.get("if-none-match", "")
    return {tag.strip().removeprefix("W/") for tag in given.split(",")}
