"""The report of a span, compared with what was put in, on SQLite and PostgreSQL; and the command that prints it."""

import csv
import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from qc_dashboard.database.database import Database
from qc_dashboard.history.tables import consumed, duplicates, feedback, inspections, tallies
from qc_dashboard.history.times import to_us
from qc_dashboard.history.writing import HistoryWriter
from qc_dashboard.projecting.follower import Outage
from qc_dashboard.reporting.figures import Figures, ReportSpan
from qc_dashboard.reporting.forms import as_csv, document
from qc_dashboard.reporting.reporter import Reporter
from qc_dashboard.review.tables import places, queue, words
from qc_dashboard.review.wanted import Leased, Reviewer, Wanted, Word
from qc_worker.domain.errors import Reason
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Defect, Inspection, Verdict
from tests.support.archives import Plant
from tests.support.archives import found as found_evidence
from tests.support.factories import NOON
from tests.support.published import inspection
from tests.support.published import places as results_places
from tests.support.review import ReviewRig

ANN = Reviewer("page-1", "Ann")
SHIFT = ReportSpan(("A",), NOON, NOON + timedelta(hours=8))
GOOD, DENT, BAD = Word(Judgement.GOOD), Word(Judgement.DEFECT, "dent"), Word(Judgement.DEFECT)


def say(rig: ReviewRig, offset: int, word: Word) -> None:
    rig.desk.say(ANN, Position("images", 0, offset), word)


def report(rig: ReviewRig) -> Figures:
    return Reporter(rig.database).figures(SHIFT)


@pytest.fixture
def rig(database: Database) -> ReviewRig:
    return ReviewRig(database)


def a_shift() -> list[Inspection]:
    defect = Defect(0, 0, 10, 10, 100, 2.0)
    return [
        inspection(0, camera="top", verdict=Verdict.REJECT, image_size=(100, 100), defects=(defect,)),
        inspection(1, camera="top", verdict=Verdict.REJECT, image_size=(100, 100), defects=(defect,)),
        inspection(2, camera="side", verdict=Verdict.REVIEW, late=True, model_version="v2"),
        inspection(3, verdict=Verdict.ERROR, reason=Reason.UNDECODABLE, model_version=None),
        inspection(4, verdict=Verdict.NO_MODEL, model_version=None),
        *(inspection(offset) for offset in range(5, 10)),
        inspection(10, line="B"),
        inspection(11, captured_at=NOON - timedelta(seconds=1)),
        inspection(12, captured_at=NOON + timedelta(hours=8)),
    ]


def test_figures_of_a_shift(rig: ReviewRig) -> None:
    rig.inspect(*a_shift())
    for offset, word in ((0, DENT), (1, GOOD), (2, BAD), (11, BAD)):
        say(rig, offset, word)
    found = report(rig)
    assert found.by_verdict == {"pass": 5, "reject": 2, "review": 1, "error": 1, "no_model": 1}
    assert (found.frames, found.late, found.pass_share) == (10, 1, 5 / 8)
    assert found.errors_by_reason == {"undecodable": 1}
    assert [(used.version, used.frames) for used in found.versions] == [("v1", 7), ("v2", 1)]
    assert [(one.name, one.frames, one.cumulative) for one in found.by_kind] == [
        ("dent", 1, 0.5),
        ("no kind named", 1, 1.0),
    ]
    assert [(one.name, one.frames) for one in found.by_camera] == [("top", 2), ("side", 1)]
    assert found.kinds_of_cameras == {"side": {"no kind named": 1}, "top": {"dent": 1}}
    assert (found.false_rejects.wrong, found.false_rejects.low, found.false_rejects.high) == (1, 1, 1)
    assert {(one.camera, one.defects) for one in found.maps} == {("top", 1), ("side", 0)}


def test_last_word_counts_whether_it_was_sent_or_heard(rig: ReviewRig) -> None:
    rig.inspect(*a_shift())
    say(rig, 0, DENT)
    rig.hear(*rig.sent())
    assert report(rig).false_rejects.wrong == 0
    say(rig, 0, GOOD)
    assert report(rig).false_rejects.wrong == 1
    rig.hear(*rig.sent()[1:])
    assert report(rig).false_rejects.wrong == 1
    rig.desk.undo(ANN)
    rig.desk.undo(ANN)
    rejects = next(one for one in report(rig).reviewed if one.verdict is Verdict.REJECT)
    assert (rejects.decided, rejects.unsure) == (0, 1)


def test_escapes_are_estimated_from_offered_passes_alone(database: Database) -> None:
    rig = ReviewRig(database, pass_share=0.1)
    rig.inspect(*(inspection(offset) for offset in range(1_000)))
    offered = [leased.source.offset for _ in range(20) for leased in claimed(rig)]
    others = [offset for offset in range(1_000) if offset not in offered][:50]
    for offset in others:
        say(rig, offset, BAD)
    escapes = report(rig).escapes
    assert len(offered) == escapes.reviewed > 60
    assert (escapes.wrong, escapes.estimated, escapes.frames) == (0, 0.0, 1_000)
    say(rig, offered[0], BAD)
    escapes = report(rig).escapes
    assert escapes.estimated is not None
    assert escapes.estimated == pytest.approx(1_000 / len(offered))
    assert escapes.low <= escapes.estimated <= escapes.high


def claimed(rig: ReviewRig) -> list[Leased]:
    found = rig.queue.claim(ANN, Wanted(), count=16)
    for leased in found:
        rig.desk.judge(ANN, leased.source, GOOD)
    return found


def test_share_that_was_changed_weighs_each_part_by_its_frames(database: Database) -> None:
    rig = ReviewRig(database, pass_share=0.5)
    rig.inspect(*(inspection(offset) for offset in range(400)))
    rig.pass_share = 0.05
    rig.inspect(*(inspection(offset) for offset in range(400, 4_400)))
    escapes = report(rig).escapes
    assert escapes.frames == pytest.approx(4_400, abs=2)
    assert (escapes.estimated, escapes.low) == (None, 0)


populations = st.lists(
    st.tuples(st.sampled_from(Verdict), st.sampled_from(["top", "side", None]), st.booleans()), max_size=20
)
said_words = st.lists(
    st.tuples(st.integers(0, 19), st.sampled_from([GOOD, DENT, BAD, Word(Judgement.UNSURE)])), max_size=10
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(population=populations, said=said_words)
def test_figures_are_those_of_a_plain_model(
    database: Database, population: list[tuple[Verdict, str | None, bool]], said: Sequence[tuple[int, Word]]
) -> None:
    with database.writing() as connection:
        for table in (inspections, tallies, duplicates, consumed, feedback, queue, words, places):
            connection.execute(delete(table))
    rig = ReviewRig(database)
    rig.inspect(
        *(
            inspection(offset, verdict=verdict, camera=camera, late=late)
            for offset, (verdict, camera, late) in enumerate(population)
        )
    )
    last: dict[int, Word] = {}
    for offset, word in said:
        if offset < len(population):
            say(rig, offset, word)
            last[offset] = word
    found = report(rig)
    assert Counter(found.by_verdict) == Counter(verdict for verdict, _, _ in population)
    assert found.late == sum(late for _, _, late in population)
    kinds = Counter(word.kind or "no kind named" for word in last.values() if word.verdict is Judgement.DEFECT)
    assert {one.name: one.frames for one in found.by_kind} == kinds
    wrong = [o for o, word in last.items() if word == GOOD and population[o][0] is Verdict.REJECT]
    assert found.false_rejects.wrong == len(wrong)


def test_forms_are_json_and_csv_that_no_spreadsheet_takes_for_a_formula(rig: ReviewRig) -> None:
    rig.inspect(*a_shift(), inspection(20, camera="=1+1", verdict=Verdict.REJECT))
    found = report(rig)
    whole = json.loads(json.dumps(document(found)))
    assert whole["span"] == {"lines": ["A"], "from": "2026-11-23T12:00:00Z", "to": "2026-11-23T20:00:00Z"}
    assert whole["assumptions"]
    rows = list(csv.reader(io.StringIO(as_csv(found))))
    assert rows[0] == ["section", "name", "value"]
    assert ["camera", "'=1+1", "1"] in rows
    assert ["verdict", "reject", "3"] in rows


def test_span_without_frames_has_figures_too(rig: ReviewRig) -> None:
    found = report(rig)
    assert (found.frames, found.pass_share, found.by_kind, found.maps) == (0, None, (), ())
    assert found.escapes.estimated is None
    with pytest.raises(ValueError, match="not a line"):
        Reporter(rig.database).figures(ReportSpan(("A\0",), NOON, NOON + timedelta(hours=8)))
    with pytest.raises(ValueError, match="longer than 366 days"):
        Reporter(rig.database).figures(ReportSpan(("A",), NOON, NOON + timedelta(days=367)))


def test_several_lines_are_summed_up_and_cameras_of_each_kept_apart(rig: ReviewRig) -> None:
    rig.inspect(*a_shift(), inspection(30, line="B", verdict=Verdict.REJECT), inspection(31, line=None))
    say(rig, 30, GOOD)
    every = Reporter(rig.database).figures(ReportSpan((), SHIFT.since, SHIFT.until))
    assert [(one.line, one.frames) for one in every.by_line] == [("A", 10), ("B", 2), (None, 1)]
    assert every.frames == 13
    assert [(one.name, one.frames) for one in every.by_camera] == [("A, top", 2), ("A, side", 1), ("B, top", 1)]
    assert (every.false_rejects.frames, every.false_rejects.reviewed, every.false_rejects.wrong) == (3, 1, 1)
    both = Reporter(rig.database).figures(ReportSpan(("B", "A", "B"), SHIFT.since, SHIFT.until))
    assert [(one.line, one.frames) for one in both.by_line] == [("B", 2), ("A", 10)]
    assert both.span.lines == ("B", "A", "B")


def test_what_is_missing_is_told(rig: ReviewRig) -> None:
    outage = Outage("results", NOON + timedelta(hours=1), "no broker answers")
    rig.inspect(inspection(0))
    (partition,) = results_places(1)
    HistoryWriter(rig.database).note_gap(partition, range(1, 9), to_us(NOON))
    found = Reporter(rig.database, outages=lambda: [outage]).figures(SHIFT)
    lost, waiting = found.missing
    assert (lost.since, lost.until, lost.records, lost.is_lost) == (NOON, None, 8, True)
    assert (waiting.since, waiting.until, waiting.is_lost) == (outage.since, None, False)
    assert document(found)["missing"][0]["from"] == "2026-11-23T12:00:00Z"
    assert ["no data", "2026-11-23T12:00:00+00:00 to ", "8"] in list(csv.reader(io.StringIO(as_csv(found))))


def test_map_names_the_newest_of_its_frames_that_the_archive_has(rig: ReviewRig, tmp_path: Path) -> None:
    rig.inspect(*(inspection(offset, verdict=Verdict.REJECT, image_size=(60, 80)) for offset in range(4)))
    plant = Plant(rig.database, str(tmp_path))
    plant.archive.keep([found_evidence(offset) for offset in (0, 2)], before={}, after={})
    (one,) = report(rig).maps
    assert (one.picture, one.image_size, one.frames) == (Position("images", 0, 2), (60, 80), 4)


def run_report(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "qc_dashboard.cli", "report", "--history", url, "--line", "A", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_command_prints_tables_json_and_csv(rig: ReviewRig, database_url: str) -> None:
    rig.inspect(*a_shift())
    span = ("--from", "2026-11-23T12:00:00Z", "--to", "2026-11-23T21:00:00+01:00")
    tables = run_report(database_url, *span)
    assert tables.returncode == 0, tables.stderr
    assert "false rejects" in tables.stdout
    assert json.loads(run_report(database_url, *span, "--json").stdout)["by_verdict"]["reject"] == 2
    assert "verdict,reject,2" in run_report(database_url, *span, "--csv").stdout
    for wrong in (("--from", "yesterday"), ("--to", "2026-11-23T12:00:00Z", "--from", "2026-11-24T12:00:00Z")):
        refused = run_report(database_url, *wrong)
        assert (refused.returncode, refused.stdout) == (2, "")
