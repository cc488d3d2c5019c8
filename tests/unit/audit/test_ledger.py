"""The books of small plants, kept by the ledger and by hand."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc_worker.audit import ledger as ledger_module
from qc_worker.audit.ledger import LIST_LIMIT, Balance, InspectionEntry, Kind, Ledger
from qc_worker.domain.frame import Partition, Position

PARTITIONS = 2
RESULTS = Partition("results", 0)


@dataclass
class Plant:
    """What lies on the topics: frames by position with their camera, then what was published of them."""

    frames: dict[Position, bytes]
    inspections: list[InspectionEntry] = field(default_factory=list)
    letters: list[Position] = field(default_factory=list)


def at(offset: int, partition: int = 0) -> Position:
    return Position("images", partition, offset)


def entry(source: Position, *, camera: bytes | None = b"A/1", failed: bool = False) -> InspectionEntry:
    return InspectionEntry(source, camera, RESULTS, failed=failed, letter_due=failed, successors_kept=True)


def clean(count: int, *, failed: Iterable[int] = ()) -> Plant:
    """One camera, all in order; offsets `failed` could not be judged."""
    failed = set(failed)
    return Plant(
        frames={at(offset): b"A/1" for offset in range(count)},
        inspections=[entry(at(offset), failed=offset in failed) for offset in range(count)],
        letters=[at(offset) for offset in sorted(failed)],
    )


def balance(plant: Plant, *, starts: Sequence[int] = (0, 0), ends: Sequence[int] | None = None) -> Balance:
    partitions = [Partition("images", number) for number in range(PARTITIONS)]
    newest = {s: max((p.offset + 1 for p in plant.frames if p.topic_partition == s), default=0) for s in partitions}
    settled = newest if ends is None else dict(zip(partitions, ends, strict=True))
    ledger = Ledger(dict(zip(partitions, starts, strict=True)), settled)
    for position in plant.frames:
        ledger.add_frame(position)
    for inspection in plant.inspections:
        ledger.add_inspection(inspection)
    for source in plant.letters:
        ledger.add_dead_letter(source)
    return ledger.balance(oldest=dict.fromkeys(partitions, 0), newest=newest)


def found(kept: Balance) -> dict[Kind, list[Position]]:
    return {kind: sorted(finding.positions) for kind, finding in kept.findings.items() if finding.count}


def test_clean_books_balance() -> None:
    kept = balance(clean(10, failed=[3]))
    totals = kept.partitions[0]
    assert kept.clean
    assert (totals.frames, totals.inspections, totals.dead_letters, totals.waiting) == (10, 10, 1, 0)


def test_frames_behind_the_committed_offset_wait_and_are_not_missing() -> None:
    plant = clean(10)
    del plant.inspections[7:]
    kept = balance(plant, ends=(7, 0))
    assert kept.clean
    assert (kept.partitions[0].frames, kept.partitions[0].waiting) == (7, 3)


def test_inspections_of_frames_behind_the_committed_offset_are_early_not_wrong() -> None:
    assert balance(clean(10), ends=(7, 0)).clean


def test_inspections_of_frames_before_the_start_are_none_of_its_business() -> None:
    plant = clean(10)
    assert balance(plant, starts=(4, 0)).clean


def test_offsets_without_a_frame_are_not_missing() -> None:
    plant = clean(10)
    del plant.frames[at(4)], plant.inspections[4]
    assert balance(plant).clean


def test_inspection_of_an_offset_without_a_frame_is_found() -> None:
    plant = clean(10)
    del plant.frames[at(4)]
    assert found(balance(plant)) == {Kind.NO_FRAME: [at(4)]}


@pytest.mark.parametrize("source", [at(10), at(10**12), at(0, partition=7)])
def test_inspection_of_a_frame_that_never_was_is_found(source: Position) -> None:
    plant = clean(10)
    plant.inspections.append(entry(source, camera=b"A/2"))
    assert found(balance(plant)) == {Kind.NO_FRAME: [source]}


def test_inspection_of_another_topic_is_none_of_its_business() -> None:
    plant = clean(10)
    plant.inspections.append(entry(Position("other", 0, 3)))
    assert balance(plant).clean


def test_frame_that_retention_removed_while_it_was_read_is_not_wrong() -> None:
    partition = Partition("images", 0)
    ledger = Ledger({partition: 0}, {partition: 5})
    ledger.add_inspection(entry(at(1)))
    kept = ledger.balance(oldest={partition: 3}, newest={partition: 5})
    assert kept.clean


def test_double_after_a_crash_is_double_and_not_out_of_order() -> None:
    plant = clean(6)
    plant.inspections[4:4] = [entry(at(2)), entry(at(3))]
    assert found(balance(plant)) == {Kind.DOUBLE: [at(2), at(3)]}


def test_order_is_per_camera() -> None:
    frames = {at(0): b"A/1", at(1): b"A/2"}
    plant = Plant(frames, [entry(at(1), camera=b"A/2"), entry(at(0), camera=b"A/1")])
    assert balance(plant).clean


def test_order_between_partitions_of_results_or_without_a_key_was_never_promised() -> None:
    other = replace(entry(at(1)), partition=Partition("results", 1))
    assert balance(Plant(clean(2).frames, [other, entry(at(0))])).clean
    assert balance(Plant(clean(2).frames, [entry(at(1), camera=None), entry(at(0), camera=None)])).clean


def test_dead_letters_are_held_against_failed_inspections() -> None:
    plant = clean(10, failed=[2, 3, 4])
    plant.letters = [at(3), at(4), at(4), at(5), at(10)]
    assert found(balance(plant)) == {
        Kind.NO_DEAD_LETTER: [at(2)],
        Kind.DOUBLE_DEAD_LETTER: [at(4)],
        Kind.UNEXPLAINED_DEAD_LETTER: [at(5), at(10)],
    }


def test_dead_letter_that_retention_may_have_removed_is_not_missing() -> None:
    plant = clean(3, failed=[1])
    plant.inspections[1] = replace(plant.inspections[1], letter_due=False)
    plant.letters = []
    assert balance(plant).clean


def test_other_lines_frames_are_left_out_with_all_that_is_wrong_with_them() -> None:
    partition = Partition("images", 0)
    ledger = Ledger({partition: 0}, {partition: 4})
    for offset in range(4):
        ledger.add_frame(at(offset), selected=offset % 2 == 0)
    for offset in (0, 1, 1, 2):
        ledger.add_inspection(entry(at(offset)))
    ledger.add_dead_letter(at(3))
    kept = ledger.balance(oldest={partition: 0}, newest={partition: 4})
    assert kept.clean
    assert (kept.partitions[0].frames, kept.partitions[0].inspections) == (2, 2)


def test_only_the_first_positions_of_each_kind_are_kept() -> None:
    plant = clean(LIST_LIMIT + 50)
    plant.inspections = []
    finding = balance(plant).findings[Kind.MISSING]
    assert (finding.count, len(finding.positions)) == (LIST_LIMIT + 50, LIST_LIMIT)
    assert finding.positions[:2] == [at(0), at(1)]


def test_expired_frames_are_counted_and_the_first_are_named() -> None:
    partition = Partition("images", 0)
    ledger = Ledger({partition: 10_000}, {partition: 10_000})
    ledger.add_expired(partition, 5_000, 10_000)
    finding = ledger.balance(oldest={partition: 10_000}, newest={partition: 10_000}).findings[Kind.EXPIRED]
    assert (finding.count, finding.positions[0], len(finding.positions)) == (5_000, at(5_000), LIST_LIMIT)


def test_order_of_more_cameras_than_fit_is_left_unchecked_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "MAX_CAMERAS", 2)
    inspections = [entry(at(offset), camera=b"A/%d" % offset) for offset in range(5)]
    assert balance(Plant(clean(5).frames, inspections)).unordered == 3


def test_pieces_of_a_large_partition_are_all_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "SCAN_BYTES", 3)
    plant = clean(10)
    del plant.inspections[8], plant.inspections[2]
    kept = balance(plant)
    assert found(kept) == {Kind.MISSING: [at(2), at(8)]}
    assert kept.partitions[0].frames == 10


@st.composite
def plants(draw: st.DrawFn) -> Plant:
    """A few cameras on two partitions, with gaps in the offsets, some frames failed; all as it should be."""
    plant = Plant({})
    for partition in range(PARTITIONS):
        for offset in draw(st.sets(st.integers(0, 40), max_size=25).map(sorted)):
            camera = b"%d/%d" % (partition, draw(st.integers(0, 2)))
            failed = draw(st.integers(0, 5)) == 0
            plant.frames[at(offset, partition)] = camera
            plant.inspections.append(entry(at(offset, partition), camera=camera, failed=failed))
            if failed:
                plant.letters.append(at(offset, partition))
    return plant


@given(plants())
def test_whatever_is_as_it_should_be_balances(plant: Plant) -> None:
    kept = balance(plant)
    assert kept.clean
    assert sum(totals.frames for totals in kept.partitions) == len(plant.frames)


@given(plants(), st.data())
def test_losses_repetitions_and_swaps_are_all_found_and_nothing_else(plant: Plant, data: st.DataObject) -> None:
    lost, again = (data.draw(st.sets(st.sampled_from(sorted(plant.frames)))) if plant.frames else set() for _ in "12")
    kept = [inspection for inspection in plant.inspections if inspection.source not in lost]
    again -= lost
    kept += [inspection for inspection in kept if inspection.source in again]
    plant.inspections = data.draw(st.permutations(kept))
    expected = {
        Kind.MISSING: sorted(lost),
        Kind.DOUBLE: sorted(again),
        Kind.OUT_OF_ORDER: _late(plant.inspections),
        Kind.UNEXPLAINED_DEAD_LETTER: sorted(lost & set(plant.letters)),
    }
    assert found(balance(plant)) == {kind: positions for kind, positions in expected.items() if positions}


@given(plants(), st.lists(st.builds(at, st.integers(0, 60), st.integers(0, PARTITIONS - 1))))
def test_dead_letters_of_any_frames_are_found_or_explained(plant: Plant, letters: list[Position]) -> None:
    failed = {inspection.source for inspection in plant.inspections if inspection.failed}
    plant.letters = letters
    counts = Counter(letters)
    expected = {
        Kind.NO_DEAD_LETTER: sorted(failed - set(letters)),
        Kind.DOUBLE_DEAD_LETTER: sorted(p for p, count in counts.items() if count > 1 and p in plant.frames),
        Kind.UNEXPLAINED_DEAD_LETTER: sorted(set(letters) - failed),
    }
    reported = {kind: sorted(set(positions)) for kind, positions in found(balance(plant)).items()}
    assert reported == {kind: positions for kind, positions in expected.items() if positions}


def _late(inspections: Iterable[InspectionEntry]) -> list[Position]:
    """First inspections of frames that come after the first one of a later frame of their camera."""
    late, seen, last = [], set(), dict[tuple[bytes | None, int], int]()
    for inspection in inspections:
        source, key = inspection.source, (inspection.camera, inspection.source.partition)
        if source not in seen:
            late += [source] if source.offset < last.get(key, -1) else []
            last[key] = max(last.get(key, -1), source.offset)
        seen.add(source)
    return sorted(late)
