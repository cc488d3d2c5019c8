"""Judge a frame again, aside, and show how both judgements compare."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field, TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.accounts.roles import Role
from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.describing.operation import Answer, Operation
from qc_dashboard.api.parameters.bodies import body_of
from qc_dashboard.api.parameters.nothing import NoQuery
from qc_dashboard.api.parameters.positions import stored_in
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import api_of
from qc_dashboard.api.shapes.documented import DOCUMENTED, STRICT
from qc_dashboard.api.shapes.inspections import BASE
from qc_dashboard.replaying.replay import Replay
from qc_dashboard.replaying.replays import TooMany
from qc_dashboard.web.problems import RETRY_AFTER_S, Problem
from qc_dashboard.web.requests import identity_of, note_for_audit
from qc_dashboard.web.routes import RoomRoute
from qc_worker.domain.names import NAME_PATTERN

ONE = f"{BASE}/{{topic}}/{{partition}}/{{offset}}/replay"


@dataclass(frozen=True, slots=True)
class AskedReplay:
    """How to judge a frame again."""

    __pydantic_config__: ClassVar = STRICT

    version: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    """Model version; null: the one that judged the frame first, and the judgements are compared."""


@dataclass(frozen=True, slots=True)
class ReplayList:
    """Replays of one frame."""

    __pydantic_config__: ClassVar = DOCUMENTED

    replays: tuple[Replay, ...]
    """Newest first; the server keeps the last ones only, and none over a restart."""


ASKED = TypeAdapter(AskedReplay)


async def ask_replay(request: Request) -> Response:
    """Have the frame judged again; the list shows when it is done."""
    asked = await body_of(request, ASKED)
    return await run_in_threadpool(_ask, request, asked)


def _ask(request: Request, asked: AskedReplay) -> Response:
    stored = stored_in(request)
    try:
        replay = api_of(request).replays.ask(stored.source, asked.version, by=identity_of(request).name)
    except TooMany as error:
        raise Problem(503, f"{error}; ask again later.", headers={"Retry-After": str(RETRY_AFTER_S)}) from None
    note_for_audit(request, f"version {asked.version}" if asked.version else "the version that judged it")
    return json_answer(replay, status=202)


def show_replays(request: Request) -> Response:
    """Answer with the replays of the frame."""
    query_of(request, NoQuery)
    return json_answer(ReplayList(api_of(request).replays.of(stored_in(request).source)))


REPLAYS = (
    Operation(
        RoomRoute(ONE, ask_replay, Role.OPERATOR, ("POST",), action="judge again"),
        "askReplay",
        "Judge a frame again, aside: nothing is published",
        Answer("The replay, which is yet to come.", Replay, status=202),
        body=AskedReplay,
        failures=(404,),
    ),
    Operation(
        RoomRoute(ONE, show_replays, Role.VIEWER),
        "replays",
        "How a frame was judged again",
        Answer("Replays of the frame.", ReplayList),
        failures=(404,),
    ),
)
