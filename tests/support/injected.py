"""Run command lines with a fault in their environment, each in a fork of one process.

The process imports torch once, before it forks: the import takes longer than most commands. At its end, a fork does
what the interpreter does, except for the teardown of all modules, which would take as long again.
"""

import atexit
import ctypes
import importlib
import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, NoReturn

OUT, ERR = 1, 2
FEW_BYTES = 1000
"""Largest size of files in bytes: less than any picture or model, more than a lock."""
MOST_FILES = 5
PATIENCE_S = 150
CAPABILITIES_VERSION_3 = 0x20080522


@dataclass(frozen=True, slots=True)
class Ended:
    """Exit code and output of a command."""

    code: int
    """Exit code; if negative, the signal that killed the command."""
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Return the JSON document that the command printed; fail if it did not succeed."""
        assert self.code == 0, self.err
        return json.loads(self.out)


class Commands:
    """Runs commands, each in a fork of one process."""

    def __enter__(self) -> "Commands":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.injected"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate(timeout=30)

    def run(self, *command: str, cwd: Path, environment: dict[str, str], fault: str = "none") -> Ended:
        """Run `qc-worker ...` or `qc-trainer ...` with one of FAULTS."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"command": command, "cwd": str(cwd), "environment": environment, "fault": fault}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


def stdout_full() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), OUT)


def stderr_full() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), ERR)


def stdout_closed() -> None:
    os.close(OUT)
    sys.stdout = sys.__stdout__ = None  # type: ignore[misc]  # as the interpreter does at its start


def all_closed() -> None:
    stdout_closed()
    os.close(ERR)
    sys.stderr = sys.__stderr__ = None  # type: ignore[misc]
    os.close(0)


def reader_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, OUT)


def both_readers_gone() -> None:
    reader_gone()
    os.dup2(OUT, ERR)


def ascii_output() -> None:
    sys.stdout.reconfigure(encoding="ascii", errors="strict")  # type: ignore[union-attr]  # PYTHONIOENCODING=ascii
    sys.stderr.reconfigure(encoding="ascii", errors="backslashreplace")  # type: ignore[union-attr]


def small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (FEW_BYTES, FEW_BYTES))


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES, MOST_FILES))


def no_privileges() -> None:
    """Drop root's capabilities, so that file modes apply to it too; another user could not read Python's folder."""
    if os.geteuid() != 0:
        return
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None, use_errno=True).capset(header, none) == 0


FAULTS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    **{
        fault.__name__: fault
        for fault in (
            stdout_full,
            stderr_full,
            stdout_closed,
            all_closed,
            reader_gone,
            both_readers_gone,
            ascii_output,
            small_files,
            few_files,
            no_privileges,
        )
    },
}


def serve() -> Callable[[], None] | None:
    """Serve requests until standard input ends. Returns None then; in a fork, returns the command to run."""
    programs = {"qc-worker": _program("qc_worker"), "qc-trainer": _program("trainer")}
    for line in sys.stdin:
        request = json.loads(line)
        pipes = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            for (reading, writing), number in zip(pipes, (OUT, ERR), strict=True):
                os.close(reading)
                os.dup2(writing, number)
                os.close(writing)
            _surround(request)
            return programs[request["command"][0]]
        print(json.dumps(_ended(child, pipes)), flush=True)  # noqa: T201
    return None


def _surround(request: dict[str, Any]) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # New streams, as the interpreter opens them at its start: the old ones refer to other files.
    sys.stdout = open(OUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(ERR, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(request["cwd"])
    os.environ.update(request["environment"])
    sys.argv = request["command"]
    signal.alarm(PATIENCE_S)
    FAULTS[request["fault"]]()


def _ended(child: int, pipes: tuple[tuple[int, int], tuple[int, int]]) -> dict[str, object]:
    said: dict[int, str] = {}

    def read(number: int, reading: int) -> None:
        with open(reading, encoding="utf-8", errors="replace") as pipe:
            said[number] = pipe.read()

    threads = []
    for number, (reading, writing) in zip((OUT, ERR), pipes, strict=True):
        os.close(writing)
        threads.append(Thread(target=read, args=(number, reading)))
        threads[-1].start()
    _, status = os.waitpid(child, 0)
    for thread in threads:
        thread.join()
    return {"code": os.waitstatus_to_exitcode(status), "out": said[OUT], "err": said[ERR]}


def _run_to_the_end(command: Callable[[], None]) -> NoReturn:
    code: object = 0
    try:
        command()
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001  (as the interpreter does)
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.write(ERR, b"Exception ignored in a standard stream")
            code = 120
    os._exit(code if isinstance(code, int) else int(code is not None))


def _program(package: str) -> Callable[[], None]:
    """Return the package's `main`; import the whole package first, since a fork without files or rights could not."""
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        with suppress(ImportError):  # optional packages
            importlib.import_module(module.name)
    main: Callable[[], None] = importlib.import_module(f"{package}.cli").main
    return main


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command = serve()
    if command is not None:
        _run_to_the_end(command)
