"""Both command lines as a whole."""

import re
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
import typer
from rich.console import Console

from qc_worker import cli as worker
from qc_worker.audit.accountant import Account
from qc_worker.audit.ledger import Ledger
from qc_worker.commands import topics
from qc_worker.commands.account_report import print_account
from qc_worker.commands.replay_report import Replay, print_replay
from qc_worker.commands.reports import FileInspection, print_file_inspections
from qc_worker.domain.frame import Partition, Position
from qc_worker.domain.inspection import Verdict
from qc_worker.settings import Settings
from qc_worker.transport.kafka.topics import TopicReport, TopicState
from tests.support import factories
from trainer import cli as trainer
from trainer.commands.documents import print_facts, print_rows

WITHOUT_JSON = {"run"}
"""A service: it prints nothing on stdout, and its log is JSON lines (`--log-format json`)."""


@pytest.mark.parametrize("app", [worker.app, trainer.app], ids=["qc-worker", "qc-trainer"])
def test_every_command_that_a_script_may_call_has_json(app: typer.Typer) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    without = {
        name
        for name, command in commands.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without <= WITHOUT_JSON


@pytest.mark.parametrize(("module", "program"), [("qc_worker.cli", "qc-worker"), ("trainer.cli", "qc-trainer")])
def test_version_is_printed_at_once(module: str, program: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", module, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{program} {metadata.version('qc-worker')}\n"
    assert not re.search(r"\| +(torch|kafka)$", done.stderr, re.MULTILINE)


ODD = "a [left] [/red] :warning: " + "n" * 200
REJECTED = replace(factories.outcome(factories.record(), Verdict.REJECT).inspection, score=3.0, threshold=2.0)


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_files_are_printed_as_they_were_named(capsys: pytest.CaptureFixture[str]) -> None:
    failed = replace(REJECTED, score=None, verdict=Verdict.ERROR, detail="no [image]")
    print_file_inspections([FileInspection(Path(f"x/{ODD}.png"), REJECTED), FileInspection(Path("[y].png"), failed)])
    printed = shown(capsys)
    assert f" x/{ODD}.png " in printed
    assert " [y].png " in printed
    assert "no [image]" in printed


def test_partitions_are_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    topic = "plant-7.images-" + "t" * 180
    partitions = [Partition(topic, number) for number in range(2)]
    ledger = Ledger(dict.fromkeys(partitions, 0), dict.fromkeys(partitions, 3_000_000))
    ledger.add_frame(Position(topic, 1, 2))
    balance = ledger.balance(oldest=dict.fromkeys(partitions, 0), newest=dict.fromkeys(partitions, 3_000_000))
    print_account(Account("g", None, None, balance, ("see [left]",)))
    printed = shown(capsys)
    assert f"{topic}:0 " in printed
    assert f"{topic}:1:2" in printed
    assert "note: see [left]\n" in printed
    assert "The books do not balance: " in printed


def test_partitions_are_printed_whole_on_a_terminal_of_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    partition = Partition("images", 0)
    balance = Ledger({partition: 0}, {partition: 123_456}).balance(oldest={partition: 0}, newest={partition: 123_456})
    print_account(Account("g", None, None, balance, ()), Console(width=80))
    printed = shown(capsys)
    assert "images:0 " in printed
    assert "…" not in printed


def test_topics_and_what_mends_them_are_printed_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    remedy = "kafka-configs.sh --alter --add-config [" + "c" * 200 + "]"
    report = TopicReport("t" * 200, TopicState.DIFFERS, ("a [b]", "c"), (remedy, "d"))
    monkeypatch.setattr(topics, "check_topics", lambda *_: [report])
    assert topics.prepare_topics(Settings(), check_only=True, as_json=False) == 1
    printed = shown(capsys)
    for text in ("t" * 200, "a [b]", remedy):
        assert f" {text} " in printed


def test_a_replay_is_printed_as_it_was_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    odd = replace(REJECTED, detail=ODD, model_version="v[1]")
    print_replay(Replay(odd, odd, "auto", other_version=False))
    printed = shown(capsys)
    assert printed.count(f" {ODD} ") == 2
    assert printed.count(" v[1] ") == 2


def test_the_trainer_prints_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts("line [left]", {"kind": {ODD: 1}, "looked_for": ["[a]", "[b]"], "frames": (1, 2.5)})
    print_rows(ODD, ["defect", "n"], [[ODD, 3], ["[/]", None]])
    printed = shown(capsys)
    assert printed.startswith("line [left]\n")
    assert f" {ODD} 1\n" in printed
    assert f"\n{ODD}\n" in printed
    assert f" {ODD} " in printed
    assert " [/] " in printed
    assert [line.split()[-1] for line in printed.splitlines()[2:4]] == ["[a]", "[b]"]
