from pathlib import Path

from prometheus_client import REGISTRY

from qc_worker.domain.inspection import Verdict
from tests import factories
from tests.unit.engine.conftest import Plant
from tests.unit.engine.test_worker import PASSES_ALL, REJECTS_ALL


def releases_counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("qc_releases_total", {"outcome": outcome}) or 0.0


def test_a_release_is_taken_up_while_frames_flow(plant: Plant) -> None:
    plant.train(version="v1", scores=PASSES_ALL)
    plant.start()
    plant.send(factories.record(0))
    plant.wait_for_inspections(1)
    plant.train(version="v2", scores=REJECTS_ALL)
    plant.wait_for(lambda: plant.residents.versions() == {"A": "v2"})
    plant.send(factories.record(1))
    before, after = plant.wait_for_inspections(2)
    assert (before.model_version, before.verdict) == ("v1", Verdict.PASS)
    assert (after.model_version, after.verdict) == ("v2", Verdict.REJECT)


def test_a_worker_started_later_has_the_newest_release(plant: Plant) -> None:
    plant.train(version="v1")
    plant.train(version="v2", seed=1)
    plant.refresher.catch_up()
    assert plant.residents.versions() == {"A": "v2"}


def test_a_corrupt_release_is_refused_and_the_old_model_stays(plant: Plant, tmp_path: Path) -> None:
    plant.train(version="v1")
    plant.refresher.catch_up()
    refused = releases_counted("refused")
    release = factories.add_version(plant.store, "A", "v2")
    (head,) = tmp_path.rglob("A/v2/head.safetensors")
    content = bytearray(head.read_bytes())
    content[-1] ^= 1
    head.write_bytes(content)
    plant.refresher.take_up(release)
    assert plant.residents.versions() == {"A": "v1"}
    assert releases_counted("refused") == refused + 1


def test_a_release_whose_card_was_exchanged_is_refused(plant: Plant) -> None:
    plant.train(version="v1")
    plant.refresher.catch_up()
    release = factories.add_version(plant.store, "A", "v2")
    other = factories.add_version(plant.store, "A", "v3", seed=1)
    plant.refresher.take_up(
        type(release)(
            line="A",
            version="v2",
            card_sha256=other.card_sha256,
            threshold=release.threshold,
            released_at=release.released_at,
        )
    )
    assert plant.residents.versions() == {"A": "v1"}


def test_a_release_without_files_is_refused(plant: Plant) -> None:
    plant.train(version="v1")
    plant.refresher.catch_up()
    elsewhere = factories.add_version(plant.store, "B", "v9")
    plant.refresher.take_up(
        type(elsewhere)(
            line="A",
            version="v9",
            card_sha256=elsewhere.card_sha256,
            threshold=0.0,
            released_at=elsewhere.released_at,
        )
    )
    assert plant.residents.versions() == {"A": "v1"}


def test_lines_share_one_backbone(plant: Plant) -> None:
    for number in range(4):
        plant.train(f"L{number}", seed=number)
    plant.refresher.catch_up()
    specs = {resident.spec for line in plant.residents.versions() if (resident := plant.residents.current(line))}
    assert len(plant.residents) == 4
    assert len(specs) == 1
