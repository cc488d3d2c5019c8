"""Prints the account: tables for people, one object for `--json`."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from qc_worker.audit.accountant import Account
from qc_worker.audit.ledger import Balance, Finding, Kind, PartitionTotals
from qc_worker.observability.printing import console, plain, print_table

SHOWN_POSITIONS = 20
COLUMNS = ("frames", "inspections", "missing", "double", "out_of_order", "dead_letters", "waiting")

MEANINGS = {
    Kind.MISSING: "frames without an inspection",
    Kind.DOUBLE: "frames with more than one inspection",
    Kind.OUT_OF_ORDER: "inspections published after one of a later frame of the same camera",
    Kind.NO_FRAME: "inspections of positions that hold no frame",
    Kind.NO_DEAD_LETTER: "frames that could not be judged and have no dead letter",
    Kind.DOUBLE_DEAD_LETTER: "frames with more than one dead letter",
    Kind.UNEXPLAINED_DEAD_LETTER: "dead letters of frames whose inspection did not fail",
    Kind.UNREADABLE: "records that do not name their frame",
    Kind.EXPIRED: "frames that retention removed before they were judged",
    Kind.COMMITTED_PAST_END: "committed offsets beyond their partition's end, left by an earlier topic of that name",
}


def account_document(account: Account) -> dict[str, Any]:
    """Describe the account as one JSON object."""
    balance = account.balance
    return {
        "clean": balance.clean,
        "group": account.group,
        "since": account.since.isoformat() if account.since else None,
        "line": account.line,
        "partitions": [_totals_document(totals) for totals in balance.partitions],
        "totals": {name: _sum(balance, name) for name in COLUMNS},
        "discrepancies": {kind.value: _finding_document(balance.findings[kind]) for kind in Kind},
        "unordered": balance.unordered,
        "notes": list(account.notes),
    }


def print_account(account: Account, to: Console | None = None) -> None:
    """Print a row per partition, then every kind of discrepancy with its first positions, then a sentence."""
    to = to or console()
    _print_partitions(account.balance, to)
    for kind, finding in account.balance.findings.items():
        if finding.count:
            name = kind.replace("_", " ")
            found = f" ({finding.count:,}; {MEANINGS[kind]}): {_positions(finding)}"
            to.print(Text.assemble((name, "bold red"), plain(found)))
    for note in (*account.notes, *_unordered_note(account.balance)):
        to.print(Text(f"note: {plain(note)}"))
    to.print(_sentence(account.balance))


def _print_partitions(balance: Balance, to: Console) -> None:
    columns = ("partition", "offsets", *(name.replace("_", " ") for name in COLUMNS))
    sums = ("all", "", *(f"{_sum(balance, column):,}" for column in COLUMNS))
    print_table(
        columns,
        list(map(_row, balance.partitions)),
        total=sums if len(balance.partitions) > 1 else None,
        right=range(2, len(columns)),
        to=to,
    )


def _row(totals: PartitionTotals) -> tuple[str, ...]:
    offsets = f"{totals.start} to {totals.end - 1}" if totals.end > totals.start else "none"
    name = f"{totals.partition.topic}:{totals.partition.partition}"
    return (name, offsets, *(f"{getattr(totals, column):,}" for column in COLUMNS))


def _sentence(balance: Balance) -> Text:
    frames, waiting = _sum(balance, "frames"), _sum(balance, "waiting")
    waiting_too = f" {waiting:,} more frames wait for theirs." if waiting else ""
    if not balance.clean:
        found = ", ".join(
            f"{found.count:,} {kind.replace('_', ' ')}" for kind, found in balance.findings.items() if found.count
        )
        wrong = f": {found} in {frames:,} frames.{waiting_too}"
        return Text.assemble(("The books do not balance", "bold red"), wrong)
    if not frames:
        return Text(f"Nothing to prove: the group has not settled any of these frames.{waiting_too}")
    letters = _sum(balance, "dead_letters")
    proven = (
        f": {frames:,} frames, {_sum(balance, 'inspections'):,} inspections, "
        f"none missing, none double, none out of order; {letters:,} dead letters, all explained.{waiting_too}"
    )
    return Text.assemble(("The books balance", "bold green"), proven)


def _positions(finding: Finding) -> str:
    shown = ", ".join(map(str, finding.positions[:SHOWN_POSITIONS]))
    more = finding.count - min(SHOWN_POSITIONS, len(finding.positions))
    return f"{shown} and {more:,} more" if more else shown


def _unordered_note(balance: Balance) -> Iterable[str]:
    if balance.unordered:
        yield f"the order of {balance.unordered:,} inspections was not checked: there are too many cameras to follow"


def _totals_document(totals: PartitionTotals) -> dict[str, Any]:
    document = asdict(totals)
    topic, partition = document.pop("partition")
    return {"topic": topic, "partition": partition, **document}


def _finding_document(finding: Finding) -> dict[str, Any]:
    positions = [str(position) for position in finding.positions]
    return {"count": finding.count, "positions": positions, "truncated": finding.count - len(positions)}


def _sum(balance: Balance, column: str) -> int:
    return sum(getattr(totals, column) for totals in balance.partitions)
