from dataclasses import replace

import pytest
import torch

from qc_worker.domain.errors import Reason
from qc_worker.domain.frame import Partition, Record
from qc_worker.domain.inspection import Verdict
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import content_box, decode_picture
from qc_worker.simplenet.inference.scorer import Scorer
from tests.support import factories
from tests.unit.engine.conftest import MAX_FRAME_BYTES, PASSES_ALL, REJECTS_ALL, MakePlant, Plant


def test_every_frame_gets_one_inspection_in_order_per_camera(plant: Plant) -> None:
    plant.train("A")
    plant.train("B", seed=1)
    plant.start()
    for offset in range(20):
        plant.send(factories.record(offset, partition=0, line="A"))
        plant.send(factories.record(offset, partition=1, line="B", camera="cam2"))
    inspections = plant.wait_for_inspections(40)
    assert len(inspections) == 40
    for line in "AB":
        assert [i.source.offset for i in inspections if i.line == line] == list(range(20))


def test_committed_offsets_are_those_of_the_published_inspections(plant: Plant) -> None:
    plant.train()
    plant.start()
    for offset in range(5):
        plant.send(factories.record(offset))
    plant.wait_for_inspections(5)
    plant.finish()
    assert plant.broker.group("qc-worker").committed()[Partition("images", 0)] == 5


def test_an_inspection_says_who_judged_what_and_how_long_it_took(plant: Plant) -> None:
    plant.train(version="v7", scores=REJECTS_ALL)
    plant.start()
    plant.send(factories.record(0))
    (inspection,) = plant.wait_for_inspections(1)
    assert (inspection.line, inspection.camera, inspection.frame_id) == ("A", "cam1", "f0-0")
    assert (inspection.model_version, inspection.verdict) == ("v7", Verdict.REJECT)
    assert inspection.precision == "float32"
    assert inspection.image_size == (64, 96)
    assert inspection.p_value == 0.25
    assert inspection.threshold == -1e6
    assert inspection.defects[0].area_px > 0
    assert inspection.mask is not None
    assert inspection.stage_ms.inference > 0
    assert inspection.stage_ms.total >= inspection.stage_ms.decode + inspection.stage_ms.inference


def test_late_verdicts_are_flagged_and_no_frame_is_dropped_for_being_old(make_plant: MakePlant) -> None:
    plant = make_plant(deadline_ms={"A": 60_000})
    plant.train()
    plant.start()
    old = ("captured-at", b"2020-01-01T00:00:00Z")
    soon, never = ("deadline-ms", b"1"), ("deadline-ms", b"86400000")
    for offset, headers in enumerate([[], [soon], [never], [old], [old, never]]):
        record = factories.record(offset)
        plant.send(replace(record, headers=(*record.headers, *headers)))
    inspections = plant.wait_for_inspections(5)
    assert [inspection.late for inspection in inspections] == [False, True, False, True, True]
    assert {inspection.verdict for inspection in inspections} <= {Verdict.PASS, Verdict.REJECT}


def test_what_cannot_be_judged_in_time_is_late_too(make_plant: MakePlant) -> None:
    plant = make_plant(deadline_ms={"A": 60_000})
    plant.train()
    plant.start()
    old = ("captured-at", b"2020-01-01T00:00:00Z")
    broken = factories.record(0, content=b"no image")
    unknown = replace(factories.record(1, line="Z"), headers=(*factories.record(1, line="Z").headers, old))
    for record in (
        broken,
        replace(broken, headers=(*broken.headers, old)),
        unknown,
        replace(unknown, headers=(*unknown.headers, ("deadline-ms", b"1"))),
    ):
        plant.send(record)
    inspections = plant.wait_for_inspections(4)
    assert [inspection.late for inspection in inspections] == [False, True, False, True]
    assert [inspection.verdict.value for inspection in inspections] == ["error", "error", "no_model", "no_model"]


def test_the_key_of_an_inspection_is_the_key_of_its_frame(plant: Plant) -> None:
    plant.train()
    plant.start()
    plant.send(factories.record(0))
    plant.wait_for_inspections(1)
    assert [record.key for record in plant.records("results")] == [b"A/cam1"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (factories.record(0, content=b"no image"), Reason.UNDECODABLE),
        (factories.record(0, content=b""), Reason.EMPTY),
        (factories.record(0, content=bytes(MAX_FRAME_BYTES + 1)), Reason.TOO_LARGE),
        (factories.record(0, content=factories.encoded("PNG", width=1001, height=1000)[:500]), Reason.TOO_MANY_PIXELS),
        (factories.record(0, line="../../etc"), Reason.BAD_HEADERS),
        (factories.record(0, line="Z"), Reason.UNKNOWN_LINE),
        (replace(factories.record(0), headers=(), key=None), Reason.BAD_HEADERS),
        (replace(factories.record(0), headers=(("line", b"\xff\xfe"),)), Reason.BAD_HEADERS),
    ],
)
def test_a_frame_that_cannot_be_judged_becomes_an_inspection_and_a_dead_letter(
    plant: Plant, broken: Record, reason: Reason
) -> None:
    plant.train(scores=PASSES_ALL)
    plant.start()
    plant.send(broken)
    plant.send(factories.record(1))
    inspection, judged = plant.wait_for_inspections(2)
    assert inspection.verdict is (Verdict.NO_MODEL if reason is Reason.UNKNOWN_LINE else Verdict.ERROR)
    assert inspection.reason is reason
    assert inspection.detail
    (letter,) = plant.records("images.dlq")
    assert letter.content == broken.content
    assert letter.key == broken.key
    assert dict(letter.headers)["qc-reason"] == reason.encode()
    assert dict(letter.headers)["qc-source"] == b"images:0:0"
    assert judged.verdict is Verdict.PASS


def test_rejects_get_a_heatmap_in_the_cache_and_passes_do_not(plant: Plant) -> None:
    plant.train("A", scores=REJECTS_ALL)
    plant.train("B", scores=PASSES_ALL)
    plant.start()
    plant.send(factories.record(0, line="A"))
    plant.send(factories.record(1, line="B"))
    rejected, passed = plant.wait_for_inspections(2)
    assert passed.heatmap_key is None
    assert rejected.heatmap_key == "qc:heatmap:images:0:0"
    plant.wait_for(lambda: plant.cache.get("qc:heatmap:images:0:0") is not None)


def test_a_share_of_the_passes_gets_a_heatmap_too(make_plant: MakePlant) -> None:
    plant = make_plant(heatmap_pass_share=0.5)
    plant.train(scores=PASSES_ALL)
    plant.start()
    for offset in range(40):
        plant.send(factories.record(offset))
    shown = [inspection.heatmap_key is not None for inspection in plant.wait_for_inspections(40)]
    assert 5 < sum(shown) < 35


def test_a_frame_without_a_key_is_published_under_its_line_and_camera(plant: Plant) -> None:
    plant.train()
    plant.start()
    plant.send(replace(factories.record(0), key=None))
    plant.wait_for_inspections(1)
    assert [record.key for record in plant.records("results")] == [b"A/cam1"]


def test_the_score_of_a_padded_picture_is_that_of_the_picture_without_its_padding(plant: Plant) -> None:
    plant.train(scores=REJECTS_ALL)
    plant.start()
    resident = plant.residents.current("A")
    assert resident is not None
    padding = replace(resident.spec, aspect="pad")
    plant.residents.swap(replace(resident, spec=padding))
    scorer, limits = Scorer(factories.backbone(), padding, torch.device("cpu")), ImageLimits(1 << 20, 1 << 20)
    for offset in range(20):
        plant.send(factories.record(offset))
    for offset, inspection in enumerate(plant.wait_for_inspections(20)):
        picture = decode_picture(factories.jpeg(offset), input_size=padding.input_size, aspect="pad", limits=limits)
        box = content_box(picture.image_size, padding.input_size, "pad")
        assert (box.width, box.height) == (64, 43)
        expected = scorer.score(picture.pixels[None], [resident.head], boxes=[box]).scores
        assert inspection.score == pytest.approx(float(expected), rel=1e-3)
        assert inspection.defects


def test_a_model_that_fails_on_one_frame_does_not_fail_its_batch(plant: Plant) -> None:
    plant.train("A", scores=PASSES_ALL)
    plant.train("B", scores=PASSES_ALL)
    plant.start()
    resident = plant.residents.current("B")
    assert resident is not None
    object.__setattr__(resident.head.discriminators[0], "weights", (torch.zeros(1, 1), torch.zeros(1, 1)))
    for offset in range(4):
        plant.send(factories.record(offset, line="B" if offset == 2 else "A"))
    inspections = plant.wait_for_inspections(4)
    assert [i.verdict for i in inspections] == [Verdict.PASS, Verdict.PASS, Verdict.ERROR, Verdict.PASS]
    assert inspections[2].reason is Reason.MODEL_FAILED
    assert [letter.content for letter in plant.records("images.dlq")] == [factories.jpeg(2)]


def test_a_score_that_is_not_a_number_is_an_error_and_never_a_pass(plant: Plant) -> None:
    plant.train(scores=PASSES_ALL)
    plant.start()
    resident = plant.residents.current("A")
    assert resident is not None
    resident.head.discriminators[0].tail.fill_(float("nan"))
    plant.send(factories.record(0))
    (inspection,) = plant.wait_for_inspections(1)
    assert (inspection.verdict, inspection.reason) == (Verdict.ERROR, Reason.MODEL_FAILED)
