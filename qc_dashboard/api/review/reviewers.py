"""Say who reviews at which page, and turn refusals of the review into answers."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from qc_dashboard.review.wanted import CannotUndo, LeaseLost, Reviewer, UnknownFrame, WordRefused
from qc_dashboard.web.problems import Problem
from qc_dashboard.web.requests import identity_of

PERSON_DIGITS = 16


def reviewer_of(request: Request, session: str) -> Reviewer:
    """Return the person at that page. Another one who signs in there, or learns its id, has other leases and words."""
    person = identity_of(request).name
    digest = hashlib.sha256(person.encode()).hexdigest()[:PERSON_DIGITS]
    try:
        return Reviewer(f"{session}.{digest}", person)
    except ValueError as error:
        raise Problem(422, f"{error}.") from None


@contextmanager
def review_errors() -> Iterator[None]:
    """Raise Problem for what the review refuses."""
    try:
        yield
    except UnknownFrame as error:
        raise Problem(404, f"{error}.") from None
    except (LeaseLost, CannotUndo) as error:
        raise Problem(409, f"{error}.") from None
    except WordRefused as error:
        raise Problem(422, f"The judgement cannot be kept: {error}.") from None
