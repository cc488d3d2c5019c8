"""Ends commands: every error becomes one line and an exit code that says whether to try again."""

import errno
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import structlog
import typer

from qc_worker.domain.errors import DeviceLost, QcError, TransportError
from qc_worker.observability.printing import plain
from qc_worker.observability.streams import guard_standard_streams
from qc_worker.runtime.state_folder import UNUSABLE, remedy

USAGE_ERROR = 2
TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: the command was right, but the broker did not answer or the device was lost."""
INTERRUPTED = 130
PASSING_ERRNOS = frozenset({errno.EAGAIN, errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE})
PACKAGES = frozenset({"qc_worker", "trainer", "qc_dashboard"})

log = structlog.get_logger()


def run_command_line(app: Callable[[], None]) -> NoReturn:
    """Run a command line and end the process with its exit code, once all output is written or its failure reported."""
    guard_standard_streams()
    threading.excepthook = _thread_ended
    sys.exit(_exit_code(app))


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn errors into `error: ...` on stderr and exit code 75 (worth trying again) or 2, an interrupt into 130."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        _say("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        _say(f"error: {_sentence(error)}")
        if not isinstance(error, QcError) and structlog.is_configured():
            log.debug("error", exc_info=error)
        raise typer.Exit(TRY_AGAIN if _may_pass(error) else USAGE_ERROR) from None


def end_now(error: QcError) -> NoReturn:
    """End the process at once with the error's line and exit code, without waiting for any thread."""
    _say(f"error: {_sentence(error)}")
    sys.stderr.flush()
    os._exit(TRY_AGAIN if _may_pass(error) else USAGE_ERROR)


def _exit_code(app: Callable[[], None]) -> int:
    try:
        with exit_codes():
            try:
                app()
            finally:
                sys.stdout.flush()  # an error in the interpreter's own flush at exit would be a traceback
    except typer.Exit as ended:
        return ended.exit_code
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _may_pass(error: Exception) -> bool:
    """Return True if trying again may help, which is assumed of unexpected errors."""
    if isinstance(error, QcError):
        return isinstance(error, TransportError | DeviceLost)
    if isinstance(error, OSError):
        return isinstance(error, ConnectionError | TimeoutError) or error.errno in PASSING_ERRNOS
    return True


def _sentence(error: BaseException) -> str:
    if isinstance(error, QcError):
        return str(error)
    if isinstance(error, OSError):
        files = [_name(name) for name in (error.filename, error.filename2) if name is not None]
        where = f" {' to '.join(files)}" if files else ""
        advice = f"; {remedy(error)}" if error.errno in UNUSABLE else ""
        return f"cannot read or write{where}: {error.strerror or error}{advice}"
    if isinstance(error, MemoryError):
        return "out of memory"
    return (
        f"{type(error).__name__}: {error} (unexpected, in {_place(error)}: please report it, with what "
        "QC_LOG_LEVEL=debug adds)"
    )


def _name(file: object) -> str:
    return file.decode(errors="surrogateescape") if isinstance(file, bytes) else str(file)


def _place(error: BaseException) -> str:
    """Find the innermost line of our own code that the error went through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if PACKAGES.intersection(path.parts):
            return f"{path.parent.name}/{path.name}:{frame.lineno}"
    return "a library"


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is None or isinstance(ended.exc_value, SystemExit):
        return
    name = ended.thread.name if ended.thread else "?"
    if not structlog.is_configured():
        _say(f"error: thread {name}: {_sentence(ended.exc_value)}")
        return
    log.error("thread ended", thread=name, error=_sentence(ended.exc_value))
    log.debug("thread ended", exc_info=ended.exc_value)


def _say(text: str) -> None:
    print(plain(" ".join(line.strip() for line in text.splitlines())), file=sys.stderr)  # noqa: T201
