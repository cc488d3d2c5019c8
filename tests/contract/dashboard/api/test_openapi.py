"""The OpenAPI document: current, complete, and true, as schemathesis finds."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import positive_data_acceptance
from schemathesis.openapi import from_dict
from starlette.types import ASGIApp, Receive, Scope, Send

from qc_dashboard.api.describing.operation import Operation
from qc_dashboard.api.describing.serving import PATH
from qc_dashboard.api.parameters.nothing import NoQuery
from qc_dashboard.api.reference import main
from qc_dashboard.api.reports.report import ReportQuery
from qc_dashboard.api.routes import OPERATIONS, ROUTES
from qc_worker.domain.inspection import Verdict
from qc_worker.transport.outgoing import OutgoingRecord
from tests.support.api import HERE, URL, ApiRig, csrf_token
from tests.support.databases import migrated
from tests.support.factories import add_version, jpeg
from tests.support.published import inspection

EXISTING: dict[str, Any] = {"topic": "images", "partition": 0, "offset": 0, "line": "A", "version": "v1"}
EXAMPLES = 60
POSITIVE = GenerationMode.POSITIVE
briefly = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def at_this_machine(app: ASGIApp) -> ASGIApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client": HERE} if scope["type"] == "http" else scope, receive, send)

    return serve


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("openapi")
    with migrated(f"sqlite:///{folder / 'history.sqlite3'}") as database:
        rig = ApiRig(database, folder)
        for number in range(5):
            rig.broker.append(OutgoingRecord("images", b"A/top", jpeg(number), []))
        rig.write(*(inspection(number, verdict=verdict) for number, verdict in enumerate(Verdict)))
        rig.versions.promote("A", add_version(rig.store).version)
        rig.live.step()
        rig.app.state.web.stopping.set()  # streams end after what they have at once
        yield rig


@pytest.fixture(scope="module")
def document(rig: ApiRig) -> Any:
    async def fetch() -> Any:
        async with rig.client() as client:
            return (await client.get(PATH)).json()

    return asyncio.run(fetch())


@pytest.fixture(scope="module")
def headers(rig: ApiRig) -> dict[str, str]:
    """What a page sends when it writes: its cookie, and its token."""

    async def fetch() -> dict[str, str]:
        async with rig.client() as client:
            token = await csrf_token(client)
            return {"X-CSRF-Token": token, "Cookie": "; ".join(f"{k}={v}" for k, v in client.cookies.items())}

    return asyncio.run(fetch())


def test_the_document_that_is_checked_in_is_current(document: Any, tmp_path: Path) -> None:
    assert main(["--check"]) == 0
    checked_in = json.loads(Path("docs/reference/openapi.json").read_text(encoding="utf-8"))
    assert document == checked_in
    assert main(["--check", "--docs", str(tmp_path)]) == 1
    assert main(["--docs", str(tmp_path)]) == 0
    assert main(["--check", "--docs", str(tmp_path)]) == 0


def test_every_route_is_described_with_its_role(document: Any) -> None:
    described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    assert described == {(route.path, route.methods[0]) for route in ROUTES if route.path != PATH}
    for operation in OPERATIONS:
        entry = document["paths"][operation.route.path][operation.method]
        assert str(operation.least) in entry["description"]
        assert all(parameter["description"] for parameter in entry["parameters"])


def test_every_reference_of_the_document_leads_somewhere(document: Any) -> None:
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert names <= document["components"]["schemas"].keys()
    assert not re.search(r'"\$defs"', json.dumps(document))


def can_be_wrong(operation: Operation) -> bool:
    """Return False for what takes nothing: nothing that is sent can be wrong."""
    return operation.query is not NoQuery or "{" in operation.route.path


CASES = [(one, mode) for one in OPERATIONS for mode in GenerationMode if mode is POSITIVE or can_be_wrong(one)]


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=[f"{one.name}-{mode}" for one, mode in CASES])
def test_answers_are_what_the_document_says(
    rig: ApiRig, document: Any, headers: dict[str, str], operation: Operation, mode: GenerationMode
) -> None:
    # The session is not varied: `test_feedback_api` checks who may do what.
    schema = from_dict({name: part for name, part in document.items() if name != "security"})
    schema.app = at_this_machine(rig.app)
    entry = schema[operation.route.path][operation.method.upper()]
    positive = mode is POSITIVE
    named = re.findall(r"{(\w+)}", operation.route.path)
    path = {name: EXISTING[name] for name in named} if positive and named else None
    # No schema says that only a defect has a kind; `test_feedback_api` has what is refused.
    # Nor that a span ends after it has begun; `test_reports_api` has that.
    excluded = [positive_data_acceptance] if operation.body is not None or operation.query is ReportQuery else []

    @briefly
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        case: Case[Any] = data.draw(entry.as_strategy(mode, path_parameters=path))
        if positive:
            case.query = {name: value for name, value in (case.query or {}).items() if name != "cursor"}
        case.call_and_validate(base_url=URL, headers=headers, excluded_checks=excluded)

    check()
