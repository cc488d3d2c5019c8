"""Good frames that look like a frame: found by their looks, among those that model or people call good."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from qc_dashboard.archive.archive import FrameEvidence
from qc_dashboard.archive.looks import LOOK_BYTES, FrameLook, distances, look_of
from qc_dashboard.database.database import Database
from qc_dashboard.review.nearest import Compared, GoodSamples
from qc_dashboard.review.wanted import Reviewer, Word
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from qc_worker.imaging.opening import ImageLimits
from tests.support.archives import Plant
from tests.support.factories import png_bomb
from tests.support.published import inspection
from tests.support.review import ReviewRig

ANN = Reviewer("page-1", "Ann")
LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1_000_000)


def part(x: int, *, ground: str = "#404040", brightness: int = 0, kind: str = "PNG") -> bytes:
    """Draw a bright disc that lies at `x`."""
    image = Image.new("RGB", (200, 100), ground)
    ImageDraw.Draw(image).ellipse((x - 30, 20, x + 30, 80), fill="#c0c0c0")
    buffer = io.BytesIO()
    image.point(lambda value: min(255, value + brightness)).save(buffer, kind)
    return buffer.getvalue()


def look(content: bytes) -> bytes:
    found = look_of(content, LIMITS)
    assert found is not None
    assert len(found) == LOOK_BYTES
    return found


class Line:
    """Archived frames with their looks, and words of people on them."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.rig = ReviewRig(database)
        self.plant = Plant(database, str(folder))
        self._kept = 0

    def archive(self, offset: int, x: int, verdict: Verdict = Verdict.PASS, camera: str | None = "top") -> Position:
        one = inspection(offset, verdict=verdict, camera=camera)
        self.rig.inspect(one)
        shown = FrameLook("A", camera, offset, look(part(x)))
        frame = FrameEvidence(one.source, verdict, 0, b"frame %d" % offset, look=shown)
        self.plant.keep(frame, start=self._kept, end=self._kept + 1)
        self._kept += 1
        return one.source

    def say(self, source: Position, verdict: Judgement) -> None:
        self.rig.clock.advance(1)
        self.rig.desk.say(ANN, source, Word(verdict))

    def nearest(self, x: int, *, count: int = 3, camera: str | None = "top", besides: int = 99) -> list[int]:
        compared = Compared("A", camera, Position("images", 0, besides))
        found = GoodSamples(self.rig.database).nearest(look(part(x)), compared, count=count)
        return [near.source.offset for near in found]


@pytest.fixture
def line(database: Database, tmp_path: Path) -> Line:
    return Line(database, tmp_path)


def far(one: bytes, others: Sequence[bytes]) -> list[float]:
    return [float(distance) for distance in distances(look(one), [look(other) for other in others])]


def test_looks_differ_by_place_and_colour_and_hardly_by_light_or_format() -> None:
    moved, coloured, lighter, jpeg = far(
        part(60), [part(120), part(60, ground="#403020"), part(60, brightness=20), part(60, kind="JPEG")]
    )
    assert moved > coloured > 5 * max(lighter, jpeg)
    assert far(part(60), [part(60)]) == [0]


@pytest.mark.parametrize("content", [b"", b"no picture", png_bomb()])
def test_what_is_no_picture_has_no_look(content: bytes) -> None:
    assert look_of(content, LIMITS) is None


def test_most_alike_passes_come_first_and_never_the_frame_itself(line: Line) -> None:
    for offset, x in enumerate((40, 60, 80, 100, 120)):
        line.archive(offset, x)
    assert line.nearest(78) == [2, 1, 3]
    assert line.nearest(78, besides=2) == [1, 3, 0]


def test_what_people_call_good_counts_and_what_they_call_a_defect_does_not(line: Line) -> None:
    sources = [line.archive(offset, 60 + offset, Verdict.REJECT) for offset in range(3)]
    passes = [line.archive(offset, 60 + offset) for offset in range(3, 6)]
    line.say(sources[1], Judgement.GOOD)
    line.say(passes[0], Judgement.DEFECT)
    assert line.nearest(60) == [1, 4, 5]
    line.say(sources[1], Judgement.UNSURE)
    line.rig.hear(*line.rig.sent())
    assert line.nearest(60) == [4, 5]
    line.say(passes[0], Judgement.GOOD)
    assert line.nearest(60) == [3, 4, 5]


def test_camera_comes_first_then_the_line(line: Line) -> None:
    line.archive(0, 60, camera="side")
    line.archive(1, 120)
    line.archive(2, 60, camera=None)
    assert line.nearest(60) == [1, 0, 2]
    assert line.nearest(60, count=1, camera=None) == [2]


def test_look_goes_with_its_evidence(line: Line) -> None:
    source = line.archive(0, 60)
    samples = GoodSamples(line.rig.database)
    assert samples.look(source) == look(part(60))
    line.plant.retention.run(line.plant.archive.now_us() + 400 * 86_400_000_000)
    assert samples.look(source) is None
    assert line.nearest(60) == []
