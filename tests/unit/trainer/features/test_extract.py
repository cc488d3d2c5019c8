"""On the real backbone, with tiny pictures."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from tests.unit.trainer.factories import INPUT_SIZE, LIMITS, LINE, filled_store, no_progress, small_scorer
from trainer.features.cache import FeatureCache, Shelf
from trainer.features.extract import FeatureCounts, FrameFeatures, drawn_cells, embed_frames, feature_bytes, stored
from trainer.features.file import HEADER_BYTES
from trainer.features.spec import BATCH_SIZE, feature_spec
from trainer.samples.reading import SampleReader

CELLS = (INPUT_SIZE // 8) ** 2


def pictures(count: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return list(torch.randint(0, 256, (count, 3, INPUT_SIZE, INPUT_SIZE), dtype=torch.uint8, generator=random))


def features(tmp_path: Path, *, good: int, patches_per_frame: int = CELLS) -> tuple[FrameFeatures, list[str]]:
    store = filled_store(tmp_path / "samples", good=good)
    scorer = small_scorer(tmp_path)
    reader = SampleReader(store, LINE, scorer.spec, LIMITS, decode_threads=2)
    shelf = FeatureCache(tmp_path / "features", 1 << 30).shelf(
        feature_spec(scorer, patches_per_frame=patches_per_frame)
    )
    return FrameFeatures(scorer, reader, shelf, patches_per_frame), store.ids(LINE, Judgement.GOOD)


def collect(frames: FrameFeatures, samples: Sequence[str]) -> tuple[list[Tensor], FeatureCounts]:
    return frames.of_samples(samples, advance=no_progress)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_frames_features_are_the_same_bits_whatever_shares_its_batch(tmp_path: Path, dtype: torch.dtype) -> None:
    scorer = small_scorer(tmp_path, dtype)
    frames = pictures(BATCH_SIZE + 3)
    expected = [rows for rows, _ in embed_frames(scorer, frames)]
    for order in ([10, 3, 0, 7], [5], list(reversed(range(11)))):
        found = [rows for rows, _ in embed_frames(scorer, [frames[index] for index in order])]
        assert all(torch.equal(rows, expected[index]) for rows, index in zip(found, order, strict=True))


def test_features_that_another_process_cleared_up_are_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, samples = features(tmp_path, good=3)
    expected, _ = collect(frames, samples)
    shutil.rmtree(frames.shelf.folder)
    monkeypatch.setattr(Shelf, "put", lambda *_: None)  # gone as soon as they are written
    found, counts = collect(frames, samples)
    assert [torch.equal(*pair) for pair in zip(found, expected, strict=True)] == [True] * 3
    assert (counts.computed, counts.cached) == (3, 0)


def test_rows_are_the_embeddings_cells_in_sixteen_bits(tmp_path: Path) -> None:
    frames, samples = features(tmp_path, good=2)
    rows, _ = collect(frames, samples)
    pixels = torch.stack([*frames.reader.pictures(samples)])
    embedded = frames.scorer.embed(pixels).permute(0, 2, 3, 1).flatten(1, 2)
    assert rows[0].dtype == torch.float16
    torch.testing.assert_close(torch.stack(rows).float(), embedded, rtol=1e-3, atol=1e-3)


def test_only_frames_without_features_are_computed(tmp_path: Path) -> None:
    frames, samples = features(tmp_path, good=12)
    _, counts = collect(frames, samples[:9])
    assert (counts.computed, counts.cached) == (9, 0)
    rows, counts = collect(frames, samples)
    assert (counts.computed, counts.cached) == (3, 9)
    again, counts = collect(frames, samples)
    assert (counts.computed, counts.cached) == (0, 12)
    assert all(torch.equal(one, other) for one, other in zip(rows, again, strict=True))


def test_kept_features_are_those_that_would_be_computed_bit_for_bit(tmp_path: Path) -> None:
    frames, samples = features(tmp_path, good=10, patches_per_frame=7)
    cold, _ = collect(frames, samples)
    for sample in samples[::2]:
        (frames.shelf.folder / f"{sample}.features").unlink()
    mixed, counts = collect(frames, samples)
    assert (counts.computed, counts.cached) == (5, 5)
    assert all(torch.equal(one, other) for one, other in zip(cold, mixed, strict=True))


def test_what_was_computed_before_a_kill_is_not_computed_again(tmp_path: Path) -> None:
    frames, samples = features(tmp_path, good=10)

    class Killed(BaseException):
        pass

    def kill_at_fourth(steps: int, note: str = "") -> None:
        if len(list(frames.shelf.folder.glob("*.features"))) == 4:
            raise Killed

    with pytest.raises(Killed):
        frames.of_samples(samples, advance=kill_at_fourth)
    _, counts = collect(frames, samples)
    assert (counts.computed, counts.cached) == (6, 4)


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: content[:-1] + b"\x07", lambda _: b""]
)
def test_damaged_features_are_computed_again(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    frames, samples = features(tmp_path, good=2)
    cold, _ = collect(frames, samples)
    expected = cold[0].clone()
    path = frames.shelf.folder / f"{samples[0]}.features"
    damaged = damage(path.read_bytes())
    path.unlink()  # as rows are mapped, the file that they came from must stay as it was
    path.write_bytes(damaged)
    rows, counts = collect(frames, samples)
    assert (counts.computed, counts.cached) == (1, 1)
    assert torch.equal(rows[0], expected)


SAMPLES = st.text("0123456789abcdef", min_size=64, max_size=64)


@settings(deadline=None)
@given(sample=SAMPLES, n_cells=st.integers(1, 100), n_kept=st.integers(1, 100), data=st.data())
def test_cells_are_drawn_by_the_frame_alone_and_only_judged_ones(
    sample: str, n_cells: int, n_kept: int, data: st.DataObject
) -> None:
    judged = torch.tensor(data.draw(st.lists(st.booleans(), min_size=n_cells, max_size=n_cells)))
    cells = drawn_cells(sample, n_cells, n_kept, judged=judged)
    assert cells.tolist() == sorted(set(cells.tolist()))
    assert len(cells) == min(int(judged.sum()), n_kept)
    assert bool(judged[cells].all())
    assert torch.equal(cells, drawn_cells(sample, n_cells, n_kept, judged=judged))


def test_other_frames_keep_other_cells() -> None:
    assert not torch.equal(drawn_cells("a" * 64, 1_024, 64), drawn_cells("b" * 64, 1_024, 64))


def test_numbers_beyond_sixteen_bits_are_refused() -> None:
    with pytest.raises(TrainingError, match="not finite"):
        stored(torch.tensor([[1e6]]))


def test_the_bytes_foretold_are_those_on_disk(tmp_path: Path) -> None:
    frames, samples = features(tmp_path, good=1, patches_per_frame=9)
    collect(frames, samples)
    size = (frames.shelf.folder / f"{samples[0]}.features").stat().st_size
    spec = feature_spec(frames.scorer, patches_per_frame=9)
    assert size == feature_bytes(spec, frames.scorer.channels) == HEADER_BYTES + 9 * frames.scorer.channels * 2
