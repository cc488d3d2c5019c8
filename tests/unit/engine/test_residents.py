"""Models come from the store once; what was released is known again by its digest."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from structlog.testing import capture_logs

from qc_worker.domain.errors import ModelError
from qc_worker.domain.release import Release
from qc_worker.engine.inference import BackbonePool, Computing
from qc_worker.engine.model_loader import ModelLoader
from qc_worker.imaging.defects import encode_mask
from qc_worker.registry.store import FsspecModelStore
from tests.support import factories


@dataclass
class Site:
    """A store that can go away, and a worker's folder."""

    folder: Path
    release: Release

    def loader(self) -> ModelLoader:
        """That of a process that starts now."""
        backbones = BackbonePool(lambda _: factories.backbone(), Computing(torch.device("cpu")))
        cache_dir = self.folder / "cache"
        return ModelLoader(self.store(), backbones, cache_dir=cache_dir, local=FsspecModelStore(str(cache_dir)))

    def store(self) -> FsspecModelStore:
        return FsspecModelStore(str(self.folder / "store"))

    def copy(self, file: str) -> Path:
        return self.folder / "cache" / self.release.line / self.release.version / file

    def take_store_away(self) -> None:
        (self.folder / "store").rename(self.folder / "away")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, factories.add_version(FsspecModelStore(str(tmp_path / "store"))))


def spoil_head(site: Site) -> None:
    site.copy("head.safetensors").write_bytes(b"bit rot")


def exchange_card(site: Site) -> None:
    factories.add_version(FsspecModelStore(str(site.folder / "other")), scores=(-9.0, 0.0, 9.0))
    for file in ("card.json", "head.safetensors"):
        (site.folder / "other" / "A" / "v1" / file).replace(site.copy(file))


def lose_head(site: Site) -> None:
    site.copy("head.safetensors").unlink()


SPOIL = [spoil_head, exchange_card, lose_head]


def test_a_worker_restarted_while_the_store_is_away_has_its_models(site: Site) -> None:
    site.loader().load(site.release)
    site.take_store_away()
    assert site.loader().load(site.release).version == "v1"


def test_without_a_local_copy_a_store_that_is_away_is_an_error(site: Site) -> None:
    site.take_store_away()
    with pytest.raises(ModelError, match="A/v1"):
        site.loader().load(site.release)


@pytest.mark.parametrize("spoil", SPOIL)
def test_a_local_copy_that_is_not_what_was_released_is_never_used(site: Site, spoil: Callable[[Site], None]) -> None:
    site.loader().load(site.release)
    spoil(site)
    site.take_store_away()
    with pytest.raises(ModelError):
        site.loader().load(site.release)


@pytest.mark.parametrize("spoil", SPOIL)
def test_a_spoilt_local_copy_is_fetched_anew(site: Site, spoil: Callable[[Site], None]) -> None:
    site.loader().load(site.release)
    spoil(site)
    assert site.loader().load(site.release).calibration.threshold == site.release.threshold
    site.take_store_away()
    assert site.loader().load(site.release).version == "v1"


def test_a_store_gone_bad_does_not_spoil_a_good_local_copy(site: Site) -> None:
    site.loader().load(site.release)
    (site.folder / "store" / "A" / "v1" / "head.safetensors").write_bytes(b"bit rot")
    assert site.loader().load(site.release).version == "v1"


def test_a_fetched_copy_that_is_refused_is_not_kept(site: Site) -> None:
    (site.folder / "store" / "A" / "v1" / "head.safetensors").write_bytes(b"bit rot")
    with pytest.raises(ModelError, match="sha256 differs"):
        site.loader().load(site.release)
    assert not site.copy("card.json").exists()


def test_a_version_that_no_release_vouches_for_is_asked_of_the_store(site: Site) -> None:
    site.loader().load_version("A", "v1")
    site.take_store_away()
    with pytest.raises(ModelError):
        site.loader().load_version("A", "v1")


def version_of(site: Site, version: str) -> Release:
    """Another version of the line, released as the trainer does it."""
    release = factories.add_version(site.store(), version=version, seed=1)
    site.store().record_release(release)
    return release


def test_a_release_is_remembered_once_however_often_it_is_taken_up(site: Site) -> None:
    for _ in range(3):
        site.loader().remember(site.release)
    history = FsspecModelStore(str(site.folder / "cache")).releases("A")
    assert history == [site.release]


def test_while_the_store_is_away_what_was_taken_up_here_is_known(site: Site) -> None:
    second, third = (version_of(site, version) for version in ("v2", "v3"))
    for release in (site.release, second):
        site.loader().remember(release)
    site.take_store_away()
    assert site.loader().earlier(third) == [site.release, second]


def test_the_history_of_the_store_goes_before_what_was_taken_up_here(site: Site) -> None:
    site.loader().remember(site.release)
    second, third = (version_of(site, version) for version in ("v2", "v3"))
    assert site.loader().earlier(third) == [second]


def test_what_was_only_loaded_is_not_remembered(site: Site) -> None:
    """By `replay`, which judges by old versions."""
    second = version_of(site, "v2")
    site.loader().load(site.release)
    site.take_store_away()
    assert site.loader().earlier(second) == []


def test_what_cannot_be_remembered_is_told(site: Site) -> None:
    (site.folder / "cache" / "A" / "releases.jsonl").mkdir(parents=True)
    with capture_logs() as logged:
        site.loader().remember(site.release)
    assert [entry["event"] for entry in logged] == ["release not remembered"]


@pytest.mark.parametrize(("line", "version"), [("../A", "v1"), ("A", "../v1"), ("", "v1")])
def test_hostile_names_are_refused(site: Site, line: str, version: str) -> None:
    with pytest.raises(ModelError):
        site.loader().load_version(line, version, card_sha256=site.release.card_sha256)


def test_a_version_that_shares_its_head_is_here_after_a_restart_without_the_store(site: Site) -> None:
    site.loader().load(site.release)
    shared = factories.share_head(site.store(), scores=(1.0, 2.0, 3.0))
    site.loader().load(shared)
    site.take_store_away()
    assert site.loader().load(shared).calibration.threshold == 3.0


def test_a_worker_that_never_had_the_shared_version_fetches_its_head(site: Site) -> None:
    shared = factories.share_head(site.store())
    assert site.loader().load(shared).version == "v2"


def test_a_shared_head_that_was_altered_is_refused(site: Site) -> None:
    shared = factories.share_head(site.store())
    (site.folder / "store" / "A" / "v1" / "head.safetensors").write_bytes(b"bit rot")
    with pytest.raises(ModelError, match="sha256 differs"):
        site.loader().load(shared)
    assert not (site.folder / "cache" / "A" / "v2").exists()


def test_a_resident_of_another_embedding_lends_no_head(site: Site) -> None:
    standing = site.loader().load(site.release)
    other = replace(standing, spec=replace(standing.spec, aspect="pad"))
    shared = factories.share_head(site.store())
    assert site.loader().load(shared, standing=standing).head is standing.head
    assert site.loader().load(shared, standing=other).head is not standing.head


def test_a_resident_judges_outside_of_its_ignored_area_only_and_lends_its_head_to_that_alone(site: Site) -> None:
    ignored = np.zeros((factories.SIDE, factories.SIDE), dtype=bool)
    ignored[:, :40] = True
    loader = site.loader()
    standing = loader.load(factories.add_version(site.store(), "A", "v3", ignored=encode_mask(ignored)))
    assert standing.head.ignored is not None
    assert np.array_equal(standing.head.ignored.pixels.numpy(), ignored)
    everywhere = loader.load(site.release, standing=standing)  # the same head
    assert everywhere.head_sha256 == standing.head_sha256
    assert everywhere.head.ignored is None
    assert loader.load(factories.share_head(site.store(), of="v3"), standing=standing).head is standing.head
