"""Runs one server, and kills it when the process that wanted it ends.

`python child.py SERVER ARGUMENTS...` starts the server and waits on its own standard input, a pipe whose other end only
the wanting process holds. However that process ends, also by SIGKILL, the pipe closes and the server is killed.

Standard library only, so that the supervisor starts within some tens of milliseconds.
"""

import ctypes
import os
import signal
import subprocess
import sys
from threading import Thread

_PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> None:
    """Run the server until it ends or standard input does."""
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent)  # noqa: PLW1509, S603
    # SIGTERM to the process group asks the server to end in order; the supervisor must wait for that.
    signal.signal(signal.SIGTERM, lambda *_: None)
    Thread(target=_end_with, args=(server,), daemon=True).start()
    sys.stdin.buffer.read()
    # SIGKILL: neither server holds anything worth saving, and Tansu takes 5 s to end on SIGTERM.
    server.kill()
    server.wait()


def _end_with(server: subprocess.Popen[bytes]) -> None:
    os._exit(abs(server.wait()))


def _die_with_parent() -> None:
    # Covers the supervisor's own death only. In the wanting process it would not do: it fires when the *thread* that
    # forked ends, it needs code between fork and exec of a process full of threads (torch, kafka), and macOS has
    # nothing like it. The supervisor has a single thread while it forks, and that thread lives to the end.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
