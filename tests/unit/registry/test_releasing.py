"""Going live: every check first, one release at a time, and never on a state that nobody has seen."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import fsspec
import pytest

from qc_worker.domain.errors import ModelError, ReleaseRefused, TransportError
from qc_worker.domain.release import Release, ReleaseAction, Seen
from qc_worker.registry import release_lock
from qc_worker.registry.releasing import Releaser, go_live
from qc_worker.registry.store import LOCK_FILE, FsspecModelStore
from qc_worker.registry.version_cards import read_version_card
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.models import MemoryReleaseLog
from tests.support import factories
from tests.support.factories import NOON, ManualClock


class Office:
    """Versions v1 to v3 of line A, v1 live."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.models = FsspecModelStore(url)
        self.broker = MemoryBroker(partitions=1)
        self.releases = MemoryReleaseLog(self.broker, topic="models")
        self.releaser = Releaser(self.models, self.releases, ManualClock())
        for seed in (1, 2, 3):
            factories.add_version(self.models, version=f"v{seed}", seed=seed)
        self.releaser.promote("A", "v1")

    def live(self) -> str:
        """The version that is live, in the store as on the topic."""
        stored = self.models.releases("A")[-1]
        assert self.releases.read_all()["A"] == stored
        return stored.version


@pytest.fixture(params=["folder", "memory"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Office:
    return Office({"folder": str(tmp_path / "store"), "memory": f"memory://{uuid4().hex}"}[request.param])


def test_a_version_goes_live_and_a_rollback_leads_back(office: Office) -> None:
    assert office.releaser.promote("A", "v2", seen=Seen("v1")).action is ReleaseAction.PROMOTE
    assert office.live() == "v2"
    assert office.releaser.rollback("A", to="v1", seen=Seen("v2")).action is ReleaseAction.ROLLBACK
    assert office.live() == "v1"


def test_what_was_decided_on_an_older_state_is_refused(office: Office) -> None:
    office.releaser.promote("A", "v2")
    with pytest.raises(ReleaseRefused, match="version v2 of line A went live meanwhile, by promote"):
        office.releaser.promote("A", "v3", seen=Seen("v1"))
    with pytest.raises(ReleaseRefused, match="goes back to version v1, not to v3"):
        office.releaser.rollback("A", to="v3", seen=Seen("v2"))
    assert office.live() == "v2"


# Threads cannot share files of fsspec's memory.
in_a_folder = pytest.mark.parametrize("office", ["folder"], indirect=True)


@in_a_folder
def test_of_two_at_once_one_goes_live_and_the_other_is_told(office: Office) -> None:
    together = Barrier(2)

    def promote(version: str) -> Release | ReleaseRefused:
        together.wait()
        try:
            return office.releaser.promote("A", version, seen=Seen("v1"))
        except ReleaseRefused as refused:
            return refused

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(promote, ("v2", "v3")))
    (released,) = [one for one in found if isinstance(one, Release)]
    assert office.live() == released.version
    assert len(office.models.releases("A")) == 2


@in_a_folder
def test_of_many_at_once_none_is_lost_and_times_ascend(office: Office) -> None:
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda number: office.releaser.promote("A", f"v{number % 3 + 1}"), range(12)))
    times = [release.released_at for release in office.models.releases("A")]
    assert len(times) == 13
    assert times == sorted(set(times))
    office.live()


def test_a_clock_that_is_behind_does_not_put_a_release_before_the_last_one(office: Office) -> None:
    ahead = office.models.releases("A")[-1]
    later = Release("A", "v2", "0" * 64, 1.0, NOON + timedelta(hours=1))
    go_live(office.models, office.releases, later)
    assert office.releaser.promote("A", "v3").released_at > later.released_at > ahead.released_at


@pytest.mark.parametrize("file", ["head.safetensors", "card.json"])
def test_a_version_with_a_broken_file_does_not_go_live(office: Office, file: str) -> None:
    file_system, root = fsspec.core.url_to_fs(office.url)
    file_system.pipe_file(f"{root}/A/v2/{file}", b"broken")
    with pytest.raises(ModelError, match=r"^A/v2/") as refused:
        office.releaser.promote("A", "v2")
    assert "qc-release" not in str(refused.value)
    assert office.live() == "v1"


def test_a_version_of_an_unknown_backbone_or_another_line_does_not_go_live(office: Office) -> None:
    file_system, root = fsspec.core.url_to_fs(office.url)
    card = file_system.cat_file(f"{root}/A/v2/card.json")
    file_system.pipe_file(f"{root}/A/v2/card.json", card.replace(b'"efficientnet_lite0"', b'"nosuchnet"'))
    with pytest.raises(ModelError, match="no backbone named 'nosuchnet'"):
        office.releaser.promote("A", "v2")
    file_system.pipe_file(f"{root}/A/v2/card.json", card.replace(b'"line": "A"', b'"line": "B"'))
    with pytest.raises(ModelError, match="holds the card of another model, B/v2"):
        office.releaser.promote("A", "v2")
    with pytest.raises(ModelError, match="holds the card of another model, B/v2"):
        read_version_card(office.models, "A", "v2")


def test_a_broker_that_is_away_is_told_with_what_to_do(office: Office) -> None:
    office.broker.available = False
    with pytest.raises(TransportError, match="qc-trainer promote --line A --version v2"):
        office.releaser.promote("A", "v2")
    office.broker.available = True
    office.releaser.promote("A", "v2", seen=Seen("v2"))
    assert office.live() == "v2"


def test_a_card_says_what_people_compare_versions_by(office: Office) -> None:
    card = read_version_card(office.models, "A", "v2")
    assert (card.line, card.version, card.backbone, card.created_at) == ("A", "v2", "efficientnet_lite0", NOON)
    assert card.calibration.scores == (-5.0, 0.0, 5.0)


def test_a_lock_that_is_held_refuses_and_one_that_a_crash_left_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(f"memory://{uuid4().hex}")
    file_system, root = fsspec.core.url_to_fs(office.url)
    monkeypatch.setattr(release_lock.hold, "__kwdefaults__", {"patience_s": 0.2})
    with office.models.releasing("A"), pytest.raises(ReleaseRefused, match="another process"):
        office.releaser.promote("A", "v2")
    assert not file_system.exists(f"{root}/A/{LOCK_FILE}")
    file_system.pipe_file(f"{root}/A/{LOCK_FILE}", b"2026-01-01T00:00:00+00:00 dead")
    office.releaser.promote("A", "v2")
    assert office.live() == "v2"
