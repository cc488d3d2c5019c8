"""What every unit test needs."""

import sys
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_ends_with_the_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that runs in this process would set it up for all tests behind it, on a stderr that is gone by then."""

    def to_stderr(*_: object) -> None:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr), cache_logger_on_first_use=False)

    for module in ("qc_worker.options", "qc_worker.cli"):
        monkeypatch.setattr(f"{module}.configure_logging", to_stderr)
    yield
    structlog.reset_defaults()
