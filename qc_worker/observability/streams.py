"""Standard output and error of a process: full disks, closed descriptors, readers that left, missing letters."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from qc_worker.domain.errors import SettingsError

STANDARD_DESCRIPTORS = (0, 1, 2)
STRICT_HANDLERS = frozenset({"strict", "surrogateescape"})
"""Error handlers of encodings that raise for some names; others were somebody's choice."""


def guard_standard_streams() -> None:
    r"""Let writing to stdout end in one line of error at the worst, and writing to stderr never fail.

    Letters that an encoding lacks are written as `\xe9` or the like. What was closed counts as /dev/null.
    """
    _open_closed_descriptors()
    sys.stdout = _guarded(sys.stdout, Output)
    sys.stderr = _guarded(sys.stderr, Diagnostics)


class Output(io.TextIOWrapper):
    """Standard output. A reader that left (`| head`) is no error: the command ends as if it had been read.

    Other failures raise SettingsError, once: what follows is dropped, so that nothing fails again at the exit.
    """

    replaced: TextIO
    """Kept, for when it goes it closes what both write to."""

    def write(self, text: str, /) -> int:
        with self._one_line_errors():
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._one_line_errors():
            super().flush()

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self._drop_the_rest()
        except OSError as error:
            self._drop_the_rest()
            raise SettingsError(f"standard output cannot be written: {error.strerror or error}") from None

    def _drop_the_rest(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


class Diagnostics(io.TextIOWrapper):
    """Standard error. Its own failures are dropped, since there is nowhere left to say them; the next line is tried."""

    replaced: TextIO
    """As above."""

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def _open_closed_descriptors() -> None:
    """Else the next file or socket that is opened gets the number, and output of a library goes into it."""
    for descriptor in STANDARD_DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one


def _guarded(stream: TextIO | None, kind: type[Output] | type[Diagnostics]) -> TextIO:
    """The stream with another class; one that is not a plain text file (a test's) stays as it is."""
    if stream is None:
        return kind(open(os.devnull, "wb"), encoding="utf-8", errors="backslashreplace")  # noqa: PTH123
    if type(stream) is not io.TextIOWrapper:
        return stream
    guarded = kind(
        stream.buffer,
        encoding=stream.encoding,
        errors="backslashreplace" if stream.errors in STRICT_HANDLERS else stream.errors,
        newline="\n",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    guarded.replaced = stream
    return guarded
