"""How commands end: errors raised on purpose become one line and an exit code that says whether to try again."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from qc_worker.domain.errors import DeviceLost, QcError, TransportError
from qc_worker.state_folder import UNUSABLE, remedy

USAGE_ERROR = 2
TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: nothing is wrong with what was asked; the broker was away or the device was lost."""
INTERRUPTED = 130


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn a QcError into `error: ...` on stderr and exit code 75 (worth trying again) or 2, an interrupt into 130.

    A folder or a file that this user may not use, met outside the places that say more, is a 2 as well.
    """
    try:
        yield
    except QcError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(TRY_AGAIN if isinstance(error, TransportError | DeviceLost) else USAGE_ERROR) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); say nothing more to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except OSError as error:
        if error.errno not in UNUSABLE:
            raise
        print(f"error: {error.filename}: {error.strerror}; {remedy(error)}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(USAGE_ERROR) from None
