"""Saves the demo's pictures: its most striking rejects, thumbnail beside heatmap."""

import io
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from PIL import Image, ImageDraw, ImageFont

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.inspection import Verdict
from qc_worker.embedded.demo.tally import JudgedFrame
from qc_worker.ports.results import HeatmapCache, HeatmapEntry

log = structlog.get_logger()

COLUMNS, ROWS = 2, 3
TILE = (300, 250)
"""Width and height of one picture, pixels."""
CAPTION_PX, GAP_PX = 30, 12
INK, PAPER = (32, 36, 42), (250, 250, 250)


@dataclass(frozen=True, slots=True)
class Gallery:
    """Paths of the saved pictures."""

    heatmap: Path
    sheet: Path


def check_writable(folder: Path) -> None:
    """Check at the start that the demo's pictures can be saved at its end. Raises SettingsError."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise SettingsError(f"the demo's pictures go into the folder {folder}, but {there} is a file: move it away")
    if not os.access(there, os.W_OK | os.X_OK):
        raise SettingsError(
            f"no permission to write the demo's pictures into {folder.absolute()}: run it in a folder of your own"
        )


def save_gallery(frames: Sequence[JudgedFrame], cache: HeatmapCache, folder: Path) -> Gallery | None:
    """Fetch heatmaps of rejects from the cache and save them; None if the cache has none, or they cannot be saved.

    A failure to save is only logged: the demo's figures are complete by then, and matter more than its pictures.
    """
    found = [(frame, entry) for frame in _striking(frames) if (entry := _entry(frame, cache))][: COLUMNS * ROWS]
    if not found:
        return None
    gallery = Gallery(heatmap=folder / "heatmap.png", sheet=folder / "rejects.png")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        gallery.heatmap.write_bytes(found[0][1].heatmap_png)
        _sheet(found).save(gallery.sheet)
    except OSError as error:
        log.warning("pictures not saved", folder=str(folder), error=error.strerror or str(error))
        return None
    return gallery


def _striking(frames: Sequence[JudgedFrame]) -> list[JudgedFrame]:
    """Order true rejects by score, alternating between lines and, within a line, between kinds of defects."""
    rejects = [f for f in frames if f.inspection.verdict is Verdict.REJECT and f.sent.defect is not None]
    rejects.sort(key=_excess, reverse=True)
    by_kind = _in_turn(rejects, lambda frame: f"{frame.sent.line} {frame.sent.defect}")
    return _in_turn(by_kind, lambda frame: frame.sent.line)


def _in_turn(frames: Sequence[JudgedFrame], group: Callable[[JudgedFrame], str]) -> list[JudgedFrame]:
    """Order the frames: the first of every group, then the second of every group, and so on."""
    seen: Counter[str] = Counter()
    turns: list[int] = []
    for frame in frames:
        turns.append(seen[group(frame)])
        seen[group(frame)] += 1
    return [frames[number] for number in sorted(range(len(frames)), key=turns.__getitem__)]


def _excess(frame: JudgedFrame) -> float:
    return (frame.inspection.score or 0.0) - (frame.inspection.threshold or 0.0)


def _entry(frame: JudgedFrame, cache: HeatmapCache) -> HeatmapEntry | None:
    key = frame.inspection.heatmap_key
    return cache.get(key) if key else None


def _sheet(found: Sequence[tuple[JudgedFrame, HeatmapEntry]]) -> Image.Image:
    rows = -(-len(found) // COLUMNS)
    cell = (2 * TILE[0] + GAP_PX, TILE[1] + CAPTION_PX)
    size = (COLUMNS * (cell[0] + 2 * GAP_PX), rows * (cell[1] + GAP_PX) + GAP_PX)
    sheet = Image.new("RGB", size, PAPER)
    for number, (frame, entry) in enumerate(found):
        row, column = divmod(number, COLUMNS)
        corner = (GAP_PX + column * (cell[0] + 2 * GAP_PX), GAP_PX + row * (cell[1] + GAP_PX))
        _paste(sheet, corner, frame, entry)
    return sheet


def _paste(sheet: Image.Image, corner: tuple[int, int], frame: JudgedFrame, entry: HeatmapEntry) -> None:
    left, top = corner
    for number, encoded in enumerate((entry.thumbnail_jpeg, entry.heatmap_png)):
        picture = Image.open(io.BytesIO(encoded)).convert("RGB")
        picture.thumbnail(TILE, Image.Resampling.LANCZOS)
        sheet.paste(picture, (left + number * (TILE[0] + GAP_PX), top + CAPTION_PX))
    font = ImageFont.load_default(16)
    ImageDraw.Draw(sheet).text((left, top + 4), _caption(frame), font=font, fill=INK)


def _caption(frame: JudgedFrame) -> str:
    inspection = frame.inspection
    defect = (frame.sent.defect or "").replace("_", " ")
    return (
        f"line {frame.sent.line}: {inspection.verdict}   score {inspection.score or 0:.2f} "
        f"(threshold {inspection.threshold or 0:.2f})   truth: {defect}"
    )
