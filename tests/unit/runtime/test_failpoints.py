import json
import signal
import subprocess
import sys

import pytest

from qc_worker.domain.errors import SettingsError
from qc_worker.runtime.failpoints import PLACES, arm, failpoint

PROGRAM = """
from qc_worker.observability.logging import configure_logging
from qc_worker.runtime.failpoints import arm, failpoint
configure_logging(log_format="json")
arm({spec!r})
for frame in ("frame-0", "frame-1", "frame-2"):
    print(frame, flush=True)
    failpoint("in-decode", frame)
"""


def lived(spec: str) -> tuple[int, list[str]]:
    done = run(spec)
    return done.returncode, done.stdout.split()


def run(spec: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(spec=spec)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("spec", ["in-decode=2", "in-decode@frame-1", "after-send=1,in-decode=2"])
def test_a_process_dies_where_it_was_told_to(spec: str) -> None:
    assert lived(spec) == (-signal.SIGKILL, ["frame-0", "frame-1"])


@pytest.mark.parametrize("spec", ["", "after-send=1", "in-decode=4", "in-decode@frame-7"])
def test_a_process_lives_where_nothing_is_armed_or_passed(spec: str) -> None:
    assert lived(spec) == (0, ["frame-0", "frame-1", "frame-2"])


def test_the_log_names_the_place_and_its_frames_before_the_process_dies() -> None:
    logged = json.loads(run("in-decode@frame-1").stderr)
    assert (logged["event"], logged["place"], logged["frames"]) == ("failpoint", "in-decode", ["frame-1"])


@pytest.mark.parametrize("spec", ["in-decode", "nowhere=1", "in-decode=soon", "in-decode@"])
def test_a_list_that_cannot_be_read_is_refused(spec: str) -> None:
    with pytest.raises(SettingsError, match="use PLACE=PASSAGE"):
        arm(spec)
    for place in PLACES:
        failpoint(place, "frame-1")  # nothing was armed
