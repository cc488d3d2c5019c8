import os
import signal
import subprocess
import sys

PROGRAM = """
from time import sleep
from qc_worker.engine.stop import StopSignal
stop = StopSignal(latest_exit_s=LATEST)
stop.install()
print("ready", flush=True)
stop.wait(60)
print("stopping", flush=True)
while True:
    sleep(0.05)  # not signal.pause(), which would miss a signal that comes just before it
"""


def started(latest_exit_s: float = 60.0) -> "subprocess.Popen[str]":
    program = PROGRAM.replace("LATEST", str(latest_exit_s))
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_the_first_signal_asks_and_the_second_one_ends_the_process() -> None:
    process = started()
    assert process.stdout is not None
    os.kill(process.pid, signal.SIGTERM)
    assert process.stdout.readline() == "stopping\n"
    assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(10) == 137


def test_a_process_that_hangs_while_stopping_is_ended() -> None:
    process = started(latest_exit_s=0.2)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(10) == 137
