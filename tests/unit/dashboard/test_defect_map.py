"""Where the boxes of defects fall on the map."""

from qc_dashboard.reporting.defect_map import defect_maps
from qc_dashboard.reporting.figures import DefectMap
from qc_dashboard.reporting.reviewed import Finding
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Defect, Verdict
from qc_worker.wire.json_types import encode_inspection
from tests.support.published import inspection


def document(*boxes: tuple[int, int, int, int], size: tuple[int, int] | None = (100, 200)) -> str:
    defects = tuple(Defect(x, y, width, height, width * height, 1.0) for x, y, width, height in boxes)
    one = inspection(verdict=Verdict.REJECT, image_size=size, defects=defects)
    return encode_inspection(one).decode()


def maps(*documents: tuple[str | None, str], **options: tuple[int, int]) -> tuple[DefectMap, ...]:
    findings = [Finding("A", camera, Position("images", 0, 0), text) for camera, text in documents]
    return defect_maps(findings, pictures={}, **options)


def test_defect_counts_in_each_cell_that_its_box_touches() -> None:
    (found,) = maps(("top", document((0, 0, 50, 50), (100, 50, 1, 1))), grid=(2, 4))
    assert found.counts == ((1, 0, 0, 0), (0, 0, 1, 0))
    (wide,) = maps(("top", document((49, 49, 2, 2))), grid=(2, 4))
    assert wide.counts == ((1, 1, 0, 0), (1, 1, 0, 0))


def test_box_outside_of_the_picture_counts_at_the_border_and_one_without_a_size_nowhere() -> None:
    (found,) = maps(("top", document((10_000, -5, 9, 9))), ("top", document((0, 0, 9, 9), size=None)))
    assert sum(map(sum, found.counts)) == found.defects == 1
    assert found.counts[0][-1] == 1
    assert found.frames == 2


def test_cameras_have_maps_of_their_own() -> None:
    found = maps(("b", document((0, 0, 1, 1))), ("a", document()), (None, document()))
    assert [(each.camera, each.defects) for each in found] == [("b", 1), ("", 0), ("a", 0)]
