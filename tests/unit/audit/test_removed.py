"""What inspections tell of frames that are gone."""

from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc_worker.audit import removed as removed_module
from qc_worker.audit.ledger import InspectionEntry
from qc_worker.audit.removed import RemovedFrames, Runs
from qc_worker.domain.frame import Partition, Position

PARTITION = Partition("images", 0)
RESULTS = Partition("results", 0)
OLDEST = 10


def unjudged(
    inspected: Iterable[int],
    *,
    committed: Mapping[Partition, int] | None = None,
    doubtful: Iterable[int] = (),
    frames: Iterable[int] = range(OLDEST, OLDEST + 5),
) -> list[int]:
    """Offsets found, where retention has left those from OLDEST on; `doubtful`: what followed them may be gone too."""
    removed, doubtful = RemovedFrames({PARTITION: OLDEST}), set(doubtful)
    for offset in frames:
        removed.add_frame(Position(*PARTITION, offset))
    for offset in inspected:
        kept = offset not in doubtful
        source = Position(*PARTITION, offset)
        removed.add_inspection(
            InspectionEntry(source, b"A/1", RESULTS, failed=False, letter_due=False, successors_kept=kept)
        )
    found = removed.unjudged({PARTITION: OLDEST + 5} if committed is None else committed)
    return [offset for partition, first, end in found for offset in range(first, end) if partition == PARTITION]


def test_removed_frames_that_were_judged_are_none_of_its_business() -> None:
    assert unjudged(range(OLDEST + 5)) == []


def test_frames_removed_between_two_inspections_are_found() -> None:
    assert unjudged([0, 1, 2, 6, 7, 8, 9, 10]) == [3, 4, 5]


def test_frames_removed_before_a_worker_came_back_are_found_behind_the_last_inspection() -> None:
    assert unjudged([0, 1, 2, 10, 11]) == [3, 4, 5, 6, 7, 8, 9]


def test_what_the_group_has_not_reached_is_found_once() -> None:
    assert unjudged([0, 1], committed={PARTITION: 4}) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert unjudged([], committed={PARTITION: 4}) == [4, 5, 6, 7, 8, 9]


def test_partition_without_a_committed_offset_still_has_its_gaps() -> None:
    assert unjudged([0, 1], committed={}) == [2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("inspected", [[], [10, 11, 12]])
def test_frames_before_the_first_inspection_left_are_not_known_to_be_lost(inspected: list[int]) -> None:
    assert unjudged(inspected) == []


def test_gap_that_retention_may_have_torn_among_the_inspections_proves_nothing() -> None:
    assert unjudged([0, 1, 5, 6, 7, 8, 9], doubtful=[0, 1]) == []
    assert unjudged([0, 1, 5, 6, 9], doubtful=[0, 1, 5]) == [7, 8]


def test_inspections_in_any_order_leave_no_gap() -> None:
    assert unjudged([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]) == []


def test_where_frames_left_have_gaps_of_their_own_removed_offsets_need_not_have_been_frames() -> None:
    assert unjudged([0, 2, 4, 6, 8], frames=[10, 12]) == []


def test_inspections_of_other_topics_are_none_of_its_business() -> None:
    removed = RemovedFrames({PARTITION: OLDEST})
    source = Position("other", 0, 3)
    removed.add_inspection(
        InspectionEntry(source, b"A/1", RESULTS, failed=False, letter_due=False, successors_kept=True)
    )
    assert list(removed.unjudged({})) == []


@given(st.lists(st.integers(0, 60)), st.integers(0, 60), st.integers(0, 60))
def test_gaps_of_runs_are_what_was_not_added(offsets: list[int], first: int, end: int) -> None:
    runs = Runs()
    for offset in offsets:
        runs.add(offset)
    gaps = list(runs.gaps(first, end))
    assert [offset for gap in gaps for offset in range(*gap)] == [o for o in range(first, end) if o not in offsets]
    assert all(start < stop for start, stop in gaps)


def test_of_too_many_runs_only_the_upper_ones_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removed_module, "MAX_RUNS", 4)
    runs = Runs()
    for offset in range(0, 40, 2):
        runs.add(offset)
    gaps = [offset for gap in runs.gaps(0, 40) for offset in range(*gap)]
    assert gaps == [offset for offset in range(gaps[0], 40) if offset % 2]
    assert 20 < gaps[0] < 40
    runs.add(1)
    assert [offset for gap in runs.gaps(0, 40) for offset in range(*gap)] == gaps
