"""Check names of a path, and turn what the model store answers into answers of HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from starlette.requests import Request

from qc_dashboard.database.failures import DatabaseAway
from qc_dashboard.web.problems import RETRY_AFTER_S, Problem
from qc_worker.domain import names
from qc_worker.domain.errors import ModelError, ReleaseRefused, StoreAway, TransportError

NO_LINE = "Nothing is known of that line."
NO_VERSION = "The model store has no such version of that line."
AWAY = "The model store does not answer at the moment, or cannot be used; the dashboard's log has the reason."

log = structlog.get_logger()


def line_in(request: Request) -> str:
    """Return the line that the path names. Raises Problem if that cannot be one."""
    try:
        return names.line_name(request.path_params["line"])
    except ValueError:
        raise Problem(404, NO_LINE) from None


def version_in(request: Request) -> str:
    """Return the version that the path names. Raises Problem if that cannot be one."""
    try:
        return names.model_version(request.path_params["version"])
    except ValueError:
        raise Problem(404, NO_VERSION) from None


@contextmanager
def told_of_the_store() -> Iterator[None]:
    """Turn errors of store and broker into a Problem with one sentence."""
    retry = {"Retry-After": str(RETRY_AFTER_S)}
    try:
        yield
    except StoreAway as error:
        # Its words may name addresses that only an administrator should see.
        log.warning("model store away", reason=str(error))
        raise Problem(503, AWAY, headers=retry) from None
    except ReleaseRefused as error:
        raise Problem(409, _sentence(error)) from None
    except ModelError as error:
        raise Problem(422, f"This version cannot be used: {error}.") from None
    except DatabaseAway:
        raise
    except TransportError as error:
        raise Problem(503, _sentence(error), headers=retry) from None


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
