"""What the times of records prove, and what not."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from qc_worker.audit.entries import TIME_SLACK, inspection_entry
from qc_worker.audit.ledger import InspectionEntry
from qc_worker.domain.inspection import Verdict
from qc_worker.wire.json_types import encode_inspection
from tests.support import factories


def entry(*, letters_from: datetime | None = None, kept_from: datetime | None = None) -> InspectionEntry:
    """Of an inspection published at noon that says that the frame could not be judged."""
    record = factories.record()
    inspection = factories.outcome(record, Verdict.ERROR).inspection
    published = replace(record, content=encode_inspection(inspection), appended_at=factories.NOON)
    return inspection_entry(published, letters_from=letters_from, kept_from=kept_from)


def test_where_nothing_was_removed_letters_are_due_and_successors_there() -> None:
    assert (entry().letter_due, entry().successors_kept) == (True, True)


@pytest.mark.parametrize(("before", "certain"), [(TIME_SLACK + timedelta(seconds=1), True), (TIME_SLACK, False)])
def test_what_was_removed_at_about_the_same_time_may_have_been_published_later(
    before: timedelta, certain: bool
) -> None:
    removed_until = factories.NOON - before
    assert entry(letters_from=removed_until).letter_due is certain
    assert entry(kept_from=removed_until).successors_kept is certain
