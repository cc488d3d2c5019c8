"""What armed places do beside killing; tests/unit/runtime/test_failpoints.py has the rest."""

import signal
import subprocess
import sys

import pytest

from qc_worker.domain.errors import SettingsError
from qc_worker.runtime.failpoints import arm

PROGRAM = """
from qc_worker.observability.logging import configure_logging
from qc_worker.runtime import failpoints
configure_logging()
failpoints.STALL_S = 0.01
failpoints.arm({spec!r})
for batch in (("frame-0", "frame-1"), ("frame-2", "frame-3")):
    print(batch[0], flush=True)
    failpoints.failpoint("in-inference", *batch)
"""


def lived(spec: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(spec=spec)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.split()


@pytest.mark.parametrize(
    ("spec", "exit_code", "batches"),
    [
        ("in-inference@frame-3!segfault", -signal.SIGSEGV, ["frame-0", "frame-2"]),
        ("in-inference@frame-1!exhaust", -signal.SIGKILL, ["frame-0"]),
        ("in-inference=2!kill", -signal.SIGKILL, ["frame-0", "frame-2"]),
        ("in-decode=1,in-inference@frame-9,in-inference=1", -signal.SIGKILL, ["frame-0"]),
        ("in-inference=1!stall", 0, ["frame-0", "frame-2"]),
    ],
)
def test_a_place_does_what_it_was_told(spec: str, exit_code: int, batches: list[str]) -> None:
    assert lived(spec) == (exit_code, batches)


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(SettingsError, match="actions: kill, segfault"):
        arm("in-decode=1!explode")
