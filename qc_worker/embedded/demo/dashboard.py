"""Runs the real `qc-dashboard` beside the demo; the demo goes on without it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from qc_worker.domain.errors import TransportError
from qc_worker.embedded.demo.processes import ServingProgram
from qc_worker.embedded.server import LOOPBACK
from qc_worker.observability.printing import plain

EXTRA = ("alembic", "sqlalchemy", "starlette", "uvicorn")
"""Some of what `pip install qc-worker[dashboard]` brings."""
READY_TIMEOUT_S = 30.0
OFFERED_PASSES = 0.02
"""Share of passed frames in the review queue; a demo is too short for the default."""


@contextmanager
def dashboard_beside(
    environment: Mapping[str, str], folder: Path, say: Callable[[str], object]
) -> Iterator[str | None]:
    """Run the dashboard until the block ends; yield its address, None if there is none, and say why."""
    if not all(map(find_spec, EXTRA)):
        say("no dashboard: pip install 'qc-worker[dashboard]'")
        yield None
        return
    chosen = {
        "QC_DASHBOARD_HOST": LOOPBACK,
        # Its own, whatever the user has set: the plant's history must not learn of simulated parts.
        "QC_HISTORY_URL": f"sqlite:///{folder.absolute() / 'history.sqlite3'}",
        "QC_ARCHIVE_URL": str(folder.absolute() / "archive"),
        "QC_REVIEW_PASS_SHARE": str(OFFERED_PASSES),
    }
    with ServingProgram(
        "the dashboard",
        ["qc_dashboard.cli", "run"],
        {**environment, **chosen},
        port="QC_DASHBOARD_PORT",
        log=folder / "dashboard.log",
    ) as program:
        if not _succeeds(partial(program.wait_ready, timeout_s=READY_TIMEOUT_S), say):
            yield None
            return
        say(f"dashboard: {program.url}")
        yield program.url
        _succeeds(program.check, say)


def _succeeds(check: Callable[[], None], say: Callable[[str], object]) -> bool:
    """Return True unless the check fails; the demo goes on without a dashboard, so its failure is only said."""
    try:
        check()
    except TransportError as error:
        say(plain(error))
        return False
    return True
