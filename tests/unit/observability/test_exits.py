"""How processes end, from outside: a tiny command line by the same way as ours, since importing torch takes seconds."""

import errno
import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys, threading, typer
from qc_worker.domain.errors import *
from qc_worker.observability.exits import exit_codes, run_command_line
from qc_worker.observability.printing import print_json, console

app = typer.Typer(pretty_exceptions_enable=False)

@app.callback()
def both(): pass

@app.command()
def fail(what: str) -> None:
    with exit_codes():
        exec(what)

@app.command()
def speak(text: str, code: int = 0) -> None:
    with exit_codes():
        text = os.fsdecode(eval(text))
        for _ in range(3):
            print_json({"text": text})
            console().print(text)
        raise typer.Exit(code)

run_command_line(app)
"""


def run(*arguments: str, shell: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    """`shell`: redirections, as typed behind the command."""
    command = ["/bin/sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, errors="replace", check=False
    )


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("SettingsError('no')", 2, "no"),
        ("ModelError('of  two\\nlines')", 2, "of  two lines"),
        ("TransportError('away')", 75, "away"),
        ("DeviceLost('gone')", 75, "gone"),
        ("TrainingError('\\x1b[31mred\\udce9')", 2, r"\x1b[31mred\xe9"),
        ("KeyboardInterrupt", 130, None),
        (f"OSError({errno.ENOSPC}, 'No space left on device', 'a[left]')", 2, "cannot read or write a[left]: No space"),
        (f"OSError({errno.EACCES}, 'Permission denied')", 2, "cannot read or write: Permission denied"),
        (f"OSError({errno.EMFILE}, 'Too many open files')", 75, "cannot read or write: Too many open files"),
        ("ConnectionResetError(104, 'Connection reset by peer')", 75, "Connection reset by peer"),
        ("MemoryError()", 75, "out of memory"),
        ("ZeroDivisionError('x')", 75, "ZeroDivisionError: x (unexpected, in "),
        ("UnicodeEncodeError('ascii', 'x', 0, 1, 'no')", 75, "UnicodeEncodeError: "),
    ],
)
def test_every_error_is_one_line_and_an_exit_code(raised: str, code: int, said: str | None) -> None:
    ended = run("fail", f"raise {raised}")
    (line,) = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (code, "")
    assert line == "interrupted" if said is None else line.startswith("error: ") and said in line


def test_a_process_with_a_thread_that_cannot_be_joined_ends_at_once() -> None:
    stuck = "threading.Thread(target=threading.Event().wait).start()"
    ended = run("fail", f"from qc_worker.observability.exits import end_now; {stuck}; end_now(DeviceLost('it hangs'))")
    assert (ended.returncode, ended.stdout, ended.stderr) == (75, "", "error: it hangs\n")


def test_an_error_in_a_thread_is_one_line() -> None:
    ended = run("fail", "threading.Thread(target=lambda: 1 / 0, name='t').start()")
    assert "Traceback" not in ended.stderr + ended.stdout
    assert "ZeroDivisionError" in ended.stderr + ended.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("speak", "'x'", "--code", "1")])
def test_a_full_disk_behind_stdout_is_one_line_and_exit_code_2(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments, shell=">/dev/full")
    assert ended.returncode == 2
    assert ended.stderr == "error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    "shell", [">&-", ">&- 2>&-", "<&- >&- 2>&-", "2>&-", "2>/dev/full", ">/dev/null 2>/dev/full", "| :", "2>&1 | :"]
)
def test_other_faults_of_streams_change_no_exit_code(shell: str) -> None:
    command = f'"$@" {shell}' if "|" not in shell else f'set -o pipefail; "$@" {shell}'
    program = ["bash", "-c", command, "bash", sys.executable, "-c", PROGRAM, "speak", "'x' * 100000"]
    for code in (0, 1):
        ended = subprocess.run([*program, "--code", str(code)], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (code, "")


def test_errors_are_exit_codes_with_every_stream_closed() -> None:
    assert run("fail", "raise TransportError('away')", shell="<&- >&- 2>&-").returncode == 75
    assert run("fail", "raise TransportError('away')", shell="2>/dev/full").returncode == 75


def test_a_file_opened_later_does_not_get_the_number_of_a_closed_stream() -> None:
    opened = "sys.exit(10 + os.open('/dev/null', os.O_RDONLY))"
    assert run("fail", opened, shell="<&- >&- 2>&-").returncode >= 13


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONUTF8": "1"},
        {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "ascii"},
    ],
)
@pytest.mark.parametrize("text", [r"b'\xe2\x98\x83'", r"b'caf\xe9'", r"'\u2603 \U0001f600'.encode()"])
def test_no_name_is_too_strange_for_an_encoding(environment: dict[str, str], text: str) -> None:
    ended = run("speak", text, **environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(ended.stdout.splitlines()) == 6


def test_an_encodings_error_handler_that_somebody_chose_is_kept() -> None:
    assert "?" in run("speak", r"b'\xe2\x98\x83'", PYTHONIOENCODING="ascii:replace").stdout
