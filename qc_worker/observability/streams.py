"""Guards standard output and error against full disks, closed descriptors, readers that left and missing letters."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from qc_worker.domain.errors import SettingsError

STANDARD_DESCRIPTORS = (0, 1, 2)
STRICT_HANDLERS = frozenset({"strict", "surrogateescape"})
"""Error handlers of encodings that raise for some names; any other is the user's choice and stays."""


def guard_standard_streams() -> None:
    r"""Let writing to stdout end in one line of error at the worst, and writing to stderr never fail.

    Letters that the encoding lacks are written as `\xe9` or the like. A closed stream is replaced by /dev/null.
    """
    _open_closed_descriptors()
    sys.stdout = _guarded(sys.stdout, Output)
    sys.stderr = _guarded(sys.stderr, Diagnostics)


class Output(io.TextIOWrapper):
    """Standard output. If the reader has left (`| head`), the command ends as if everything had been read.

    Other failures raise SettingsError, once: later output is dropped, so that nothing fails again at the exit.
    """

    replaced: TextIO
    """Kept alive: when it is deleted, it closes the buffer that both write to."""

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
    """Standard error. Its own failures are dropped, since nothing is left to report them; the next line is tried."""

    replaced: TextIO
    """See `Output.replaced`."""

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def _open_closed_descriptors() -> None:
    """Open /dev/null for each closed descriptor: otherwise the next file opened gets its number, and our output."""
    for descriptor in STANDARD_DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one


def _guarded(stream: TextIO | None, kind: type[Output] | type[Diagnostics]) -> TextIO:
    """Give the stream another class; one that is not a plain text file (a test's) stays as it is."""
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
