import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.inspection import Verdict
from qc_worker.embedded.demo.gallery import check_writable, save_gallery
from qc_worker.embedded.demo.tally import JudgedFrame, SentFrame
from qc_worker.ports.results import HeatmapEntry
from qc_worker.transport.memory.heatmaps import MemoryHeatmapCache
from tests.unit.embedded.test_demo_tally import make_inspection


def make_reject(frame_id: str, line: str, defect: str | None, score: float) -> JudgedFrame:
    inspection = make_inspection(frame_id, line, verdict=Verdict.REJECT, score=score)
    return JudgedFrame(SentFrame(frame_id, line, defect), replace(inspection, heatmap_key=frame_id))


def make_picture(shade: int, kind: str) -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (60, 50), (shade, shade, shade)).save(encoded, kind)
    return encoded.getvalue()


def make_cache(*keys: str) -> MemoryHeatmapCache:
    cache = MemoryHeatmapCache(ttl_s=60)
    cache.put([HeatmapEntry(key, make_picture(int(key), "PNG"), make_picture(int(key), "JPEG")) for key in keys])
    return cache


def test_the_strongest_true_reject_gives_the_heatmap(tmp_path: Path) -> None:
    frames = [make_reject("1", "A", "dent", 3.0), make_reject("2", "B", "crack", 5.0), make_reject("3", "A", None, 9.0)]
    gallery = save_gallery(frames, make_cache("1", "2", "3"), tmp_path / "out")

    assert gallery is not None
    assert gallery.heatmap.read_bytes() == make_picture(2, "PNG")
    with Image.open(gallery.sheet) as sheet:
        assert sheet.width > sheet.height


def test_rejects_that_the_cache_has_lost_are_left_out(tmp_path: Path) -> None:
    frames = [make_reject("1", "A", "dent", 3.0), make_reject("2", "B", "crack", 5.0)]
    gallery = save_gallery(frames, make_cache("1"), tmp_path)

    assert gallery is not None
    assert gallery.heatmap.read_bytes() == make_picture(1, "PNG")


def test_without_heatmaps_nothing_is_written(tmp_path: Path) -> None:
    assert save_gallery([make_reject("1", "A", "dent", 3.0)], make_cache(), tmp_path / "out") is None
    assert not (tmp_path / "out").exists()


def test_pictures_that_cannot_be_saved_cost_no_figures(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert save_gallery([make_reject("1", "A", "dent", 3.0)], make_cache("1"), tmp_path / "file" / "out") is None


def test_a_folder_that_cannot_take_the_pictures_is_found_out_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check_writable(tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(SettingsError, match="is a file"):
            check_writable(folder)
