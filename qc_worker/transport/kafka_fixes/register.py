"""Register of all fixes of kafka-python, installed once per process.

A command installs them where it first needs Kafka: `wiring.shared.kafka_access`, the one place that turns settings into
access to the brokers, calls `install_all`. So `--help` imports no kafka, a command without a broker is not refused for
its version, and the setting that allows an untested one is at hand. Processes that make a KafkaAccess by hand (the
demo's servers, tests, benchmarks) call it themselves. Nobody can forget it: `open_client` refuses to work without.
"""

from pkgutil import resolve_name
from threading import Lock
from typing import Any

import kafka

from qc_worker.domain.errors import SettingsError
from qc_worker.transport.kafka_fixes import (
    answers_copied_twice,
    early_fetches,
    expelled_member,
    finished_join,
    half_read_partitions,
    lost_last_answer,
    small_reads,
    unreadable_records,
)
from qc_worker.transport.kafka_fixes.fix import Fix

TESTED = ("3.0.12",)
"""Versions of kafka-python that the fixes were tested with; pyproject.toml pins the last one."""
FIXES: tuple[Fix, ...] = (
    unreadable_records.FIX,
    half_read_partitions.FIX,
    early_fetches.FIX,
    finished_join.FIX,
    expelled_member.FIX,
    lost_last_answer.FIX,
    small_reads.FIX,
    answers_copied_twice.FIX,
)

_lock = Lock()
_originals: dict[Fix, Any] = {}


class FixesNotInstalled(Exception):
    """A client was to be opened in a process that has not called `install_all`: an error in the program."""


def install_all(*, allow_untested: bool = False) -> None:
    """Install every fix in this process; further calls change nothing.

    Raises SettingsError for a version of kafka-python that is not in TESTED, unless `allow_untested`, and for one that
    lacks a name that a fix replaces. Then no fix is installed.
    """
    with _lock:
        if _originals:
            return
        if not allow_untested:
            _check_version()
        for fix in FIXES:
            _check_names(fix)
        for fix in FIXES:
            _originals[fix] = _replace(fix)


def installed() -> bool:
    """Tell whether the fixes are installed in this process."""
    return len(_originals) == len(FIXES)


def check_installed() -> None:
    """Raise FixesNotInstalled unless the fixes are installed in this process."""
    if not installed():
        raise FixesNotInstalled(
            "the fixes of kafka-python are not installed in this process: "
            "call qc_worker.transport.kafka_fixes.register.install_all() before the first Kafka client is opened"
        )


def original_of(fix: Fix) -> Any:
    """Return what an installed fix has replaced; tests ask it whether the defect is still there."""
    return _originals[fix]


def fixes_table() -> str:
    """Return the register as a table in Markdown, one row per fix."""
    return "\n".join(["| defect | what is replaced | upstream |", "|---|---|---|", *map(_row, FIXES)])


def _row(fix: Fix) -> str:
    is_reported = fix.upstream.startswith("https://")
    upstream = f"[#{fix.upstream.rpartition('/')[2]}]({fix.upstream})" if is_reported else fix.upstream
    return f"| {fix.defect} | `{fix.target}` | {upstream} |"


def _check_version() -> None:
    if kafka.__version__ not in TESTED:
        raise SettingsError(
            f"kafka-python {kafka.__version__} is not tested with this qc-worker: install kafka-python=={TESTED[-1]}, "
            "or set kafka_python_untested=true"
        )


def _check_names(fix: Fix) -> None:
    for name in (fix.target, *fix.relies_on):
        if not _is_there(name):
            raise SettingsError(
                f"kafka-python {kafka.__version__} has no {name}, which qc-worker replaces because of a defect: "
                f"install kafka-python=={TESTED[-1]}"
            )


def _is_there(name: str) -> bool:
    """Tell whether a module or class has a name itself; one that is inherited is another class's."""
    owner, _, own = name.rpartition(".")
    try:
        return own in vars(resolve_name(owner))
    except (ImportError, AttributeError):
        return False


def _replace(fix: Fix) -> Any:
    """Put the replacement in the place of the original, and return the original."""
    owner, _, name = fix.target.rpartition(".")
    original = resolve_name(fix.target)
    setattr(resolve_name(owner), name, fix.install(original))
    return original
