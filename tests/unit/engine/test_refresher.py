from dataclasses import replace
from pathlib import Path
from threading import Thread

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from qc_worker.domain.inspection import Verdict
from qc_worker.domain.release import Release, ReleaseAction
from qc_worker.engine.model_loader import ModelLoader
from qc_worker.engine.refresher import DARK_RETRY_S, RETRY_S, ModelRefresher
from qc_worker.engine.residents import Resident, ResidentModels
from qc_worker.runtime.clock import SystemClock
from tests.support import factories
from tests.unit.engine.conftest import PASSES_ALL, REJECTS_ALL, MakePlant, Plant


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


def test_a_moved_threshold_keeps_the_folded_head_and_judges_by_it(plant: Plant) -> None:
    plant.train(version="v1", scores=PASSES_ALL)
    plant.start()
    plant.send(factories.record(0))
    plant.wait_for_inspections(1)
    before = plant.residents.current("A")
    with capture_logs() as logged:
        plant.move_threshold("v2", of="v1", scores=REJECTS_ALL)
        plant.wait_for(lambda: plant.residents.versions() == {"A": "v2"})
        plant.wait_for(lambda: any(entry["event"] == "model taken up" for entry in logged))
    plant.send(factories.record(1))
    _, after = plant.wait_for_inspections(2)
    assert (after.model_version, after.verdict, after.threshold) == ("v2", Verdict.REJECT, -1e6)
    resident = plant.residents.current("A")
    assert before is not None
    assert resident is not None
    assert resident.head is before.head
    assert [entry["head_kept"] for entry in logged if entry["event"] == "model taken up"] == [True]


def test_a_release_with_another_head_is_folded_anew(plant: Plant) -> None:
    plant.train(version="v1")
    plant.refresher.catch_up()
    before = plant.residents.current("A")
    plant.refresher.apply(factories.add_version(plant.store, "A", "v2", seed=1))
    after = plant.residents.current("A")
    assert before is not None
    assert after is not None
    assert after.head is not before.head


def test_a_moved_threshold_whose_head_has_gone_is_refused_and_the_old_model_stays(plant: Plant, tmp_path: Path) -> None:
    plant.train(version="v1")
    plant.refresher.catch_up()
    shared = factories.share_head(plant.store, version="v2", of="v1")
    for head in tmp_path.rglob("head.safetensors"):
        head.unlink()
    with capture_logs() as logged:
        assert not plant.refresher.apply(shared)
    assert plant.residents.versions() == {"A": "v1"}
    assert "shares the head of A/v1, which is not in the model store" in str(logged[-1]["error"])


def test_a_corrupt_release_is_refused_and_the_old_model_stays(plant: Plant, tmp_path: Path) -> None:
    plant.train(version="v1")
    plant.refresher.catch_up()
    refused = releases_counted("refused")
    release = factories.add_version(plant.store, "A", "v2")
    (head,) = tmp_path.rglob("A/v2/head.safetensors")
    content = bytearray(head.read_bytes())
    content[-1] ^= 1
    head.write_bytes(content)
    plant.refresher.apply(release)
    assert plant.residents.versions() == {"A": "v1"}
    assert releases_counted("refused") == refused + 1


def test_a_release_whose_card_was_exchanged_is_refused(plant: Plant) -> None:
    plant.train(version="v1")
    plant.refresher.catch_up()
    release = factories.add_version(plant.store, "A", "v2")
    other = factories.add_version(plant.store, "A", "v3", seed=1)
    plant.refresher.apply(
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
    plant.refresher.apply(
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
    residents = [plant.residents.current(line) for line in plant.residents.versions()]
    assert len(residents) == 4
    assert len({resident.spec.backbone_pass for resident in residents if resident}) == 1


class MemoryLoader(ModelLoader):
    """A loader that runs out of memory on one version."""

    def load(self, release: Release, *, standing: Resident | None = None) -> Resident:
        if release.version == "huge":
            raise MemoryError("no room for this one")
        return super().load(release, standing=standing)


def test_a_release_that_breaks_the_loader_in_an_unforeseen_way_is_refused_too(plant: Plant) -> None:
    plant.refresher._loader.__class__ = MemoryLoader
    plant.train(version="v1")
    plant.start()
    plant.wait_for(lambda: plant.residents.versions() == {"A": "v1"})
    plant.train(version="huge")
    plant.train(version="v3", seed=1)
    plant.wait_for(lambda: plant.residents.versions() == {"A": "v3"})
    assert plant.refresher.alive()


def test_a_worker_started_after_a_bad_release_falls_back_to_the_one_before(plant: Plant, tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        plant.train(version=version)
    (head,) = tmp_path.rglob("A/v2/head.safetensors")
    head.write_bytes(b"broken")
    plant.refresher.catch_up()
    assert plant.residents.versions() == {"A": "v1"}


def test_a_worker_started_while_the_store_is_away_falls_back_to_what_it_had_before(plant: Plant) -> None:
    plant.train(version="v1")
    plant.refresher.catch_up()
    plant.train(version="v2")
    (plant.folder / "store").rename(plant.folder / "away")
    residents = ResidentModels()
    loader, give_up = plant.refresher._loader, plant.pipeline.give_up
    later = ModelRefresher(plant.releases, loader, residents, clock=SystemClock(), stop=plant.stop, give_up=give_up)
    later.catch_up()
    assert residents.versions() == {"A": "v1"}


def test_a_line_that_was_dark_falls_back_once_the_store_is_there_again(make_plant: MakePlant) -> None:
    clock = factories.ManualClock()
    plant = make_plant(refresher_clock=clock)
    for version in ("v1", "v2"):
        plant.train(version=version)
    (head,) = plant.folder.rglob("A/v2/head.safetensors")
    head.write_bytes(b"broken")
    (plant.folder / "store").rename(plant.folder / "away")
    plant.refresher.catch_up()
    assert plant.residents.versions() == {}
    (plant.folder / "away").rename(plant.folder / "store")
    plant.refresher.start()
    clock.advance(DARK_RETRY_S + 1)
    plant.wait_for(lambda: plant.residents.versions() == {"A": "v1"})


def test_a_version_that_was_gone_back_over_never_goes_live_again(plant: Plant) -> None:
    for version in ("v1", "v2"):
        plant.train(version=version)
    first, _ = plant.store.releases("A")
    back = replace(first, action=ReleaseAction.ROLLBACK)
    plant.store.record_release(back)
    plant.releases.announce(back)
    (head,) = plant.folder.rglob("A/v1/head.safetensors")
    head.write_bytes(b"broken")
    plant.refresher.catch_up()
    assert plant.residents.versions() == {}


def test_a_refused_release_is_tried_again_and_taken_up_once_the_store_is_back(make_plant: MakePlant) -> None:
    clock = factories.ManualClock()
    plant = make_plant(refresher_clock=clock)
    plant.train(version="v1")
    plant.refresher.catch_up()
    release = factories.add_version(plant.store, "A", "v2")
    (card,) = plant.folder.rglob("A/v2/card.json")
    hidden = card.rename(card.with_suffix(".away"))
    plant.refresher.apply(release)
    hidden.rename(card)
    plant.refresher.start()
    clock.advance(RETRY_S + 1)
    plant.wait_for(lambda: plant.residents.versions() == {"A": "v2"})


def test_a_line_whose_model_cannot_be_had_is_told_and_holds_up_no_other(plant: Plant) -> None:
    plant.train("A")
    plant.train("B")
    (plant.folder / "store" / "B").rename(plant.folder / "away")
    with capture_logs() as logged:
        plant.refresher.catch_up()
    assert plant.residents.versions() == {"A": "v1"}
    assert [entry["line"] for entry in logged if entry["event"].startswith("line has no model")] == ["B"]


def started_without_store(make_plant: MakePlant) -> tuple[Plant, factories.ManualClock]:
    """A release of line A is announced, and the store that has it is away."""
    clock = factories.ManualClock()
    plant = make_plant(refresher_clock=clock)
    plant.train("A")
    (plant.folder / "store").rename(plant.folder / "away")
    plant.refresher.catch_up()
    return plant, clock


def test_a_line_without_any_model_is_tried_again_soon(make_plant: MakePlant) -> None:
    plant, clock = started_without_store(make_plant)
    (plant.folder / "away").rename(plant.folder / "store")
    plant.refresher.start()
    clock.advance(DARK_RETRY_S + 1)
    plant.wait_for(lambda: plant.residents.versions() == {"A": "v1"})


def waiting_for_a_model(plant: Plant, patience_s: float) -> Thread:
    plant.refresher.start()
    waiting = Thread(target=plant.refresher.wait_for_a_model, args=(patience_s,))
    waiting.start()
    return waiting


def test_a_worker_that_could_load_none_of_the_announced_models_waits_until_it_has_one(make_plant: MakePlant) -> None:
    plant, clock = started_without_store(make_plant)
    waiting = waiting_for_a_model(plant, 120)
    clock.advance(DARK_RETRY_S + 1)
    waiting.join(0.5)
    assert waiting.is_alive()
    (plant.folder / "away").rename(plant.folder / "store")
    clock.advance(DARK_RETRY_S + 1)
    waiting.join(30)
    assert not waiting.is_alive()
    assert plant.residents.versions() == {"A": "v1"}


def test_a_worker_waits_for_a_model_no_longer_than_its_patience(make_plant: MakePlant) -> None:
    plant, clock = started_without_store(make_plant)
    waiting = waiting_for_a_model(plant, 120)
    clock.advance(121)
    waiting.join(30)
    assert not waiting.is_alive()
    assert plant.residents.versions() == {}


def test_a_worker_without_any_release_does_not_wait_for_a_model(plant: Plant) -> None:
    plant.refresher.catch_up()
    waiting = waiting_for_a_model(plant, 120)
    waiting.join(5)
    assert not waiting.is_alive()
