"""Show a line's stored versions, with what their cards say."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.models import line_models
from qc_dashboard.api.parameters.nothing import NoQuery
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import ApiParts, api_of
from qc_dashboard.api.shapes.versions import LineVersions, StoredVersion, card_facts
from qc_dashboard.api.versions.asking import NO_LINE, line_in, told_of_the_store
from qc_dashboard.web.problems import Problem
from qc_worker.domain.errors import ModelError, StoreAway
from qc_worker.domain.release import Release, live_version, version_before

MAX_VERSIONS = 50


def show_versions(request: Request) -> Response:
    """Answer with all that is known of a line's versions."""
    query_of(request, NoQuery)
    api, line = api_of(request), line_in(request)
    with told_of_the_store():
        stored, history = api.versions.stored(line), api.versions.history(line)
        models = line_models(api, line, api.live.tallies().get(line))
        if not (stored or history or models.releases or models.judging or line in api.history.lines()):
            raise Problem(404, NO_LINE)
        live = live_version(history)
        listed = [version for version in reversed(stored) if version == live or version in stored[-MAX_VERSIONS:]]
        versions = tuple(_version(api, line, version, history) for version in listed)
    before = version_before(history, stored)
    return json_answer(LineVersions(models, live, before, versions, len(stored) - len(listed)))


def _version(api: ApiParts, line: str, version: str, history: Sequence[Release]) -> StoredVersion:
    released = [release for release in history if release.version == version]
    figures = {name: figure for release in released for name, figure in release.metrics.items()}
    last = released[-1] if released else None
    try:
        card, problem = card_facts(api.versions.card(line, version)), None
    except StoreAway:
        raise
    except ModelError as error:
        card, problem = None, str(error)
    return StoredVersion(
        version=version,
        is_live=version == live_version(history),
        released_at=None if last is None else last.released_at,
        action=None if last is None else last.action,
        figures=figures,
        card=card,
        problem=problem,
    )
