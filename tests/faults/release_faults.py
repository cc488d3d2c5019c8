"""Faults of models: the store is away or its files are broken, garbage lies on `models`, the worker's disk is full."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaProducer

from qc_worker.domain.release import Release
from qc_worker.transport.kafka.connecting.access import open_client
from tests.faults.disks import filled, small_disk
from tests.faults.site import Site
from tests.support.plant import WorkerProcess

GARBAGE = (b"\x00\xff\xfe garbage", b"[1, 2", b'{"line": "A"}', b"null", bytes(100_000))


def store_gone(site: Site) -> None:
    """And a release that lies in it is announced."""
    worker = _worker_with_frames(site)
    release = _unannounced(site, "v2")
    with store_away(site):
        site.plant.announce(release)
        _refused(site, worker)
        site.wait_for_more(600)


def restarted_without_store(site: Site) -> None:
    """The worker's own copy of the model serves."""
    worker = _worker_with_frames(site)
    with store_away(site):
        worker.process.kill()
        site.buried(worker, -signal.SIGKILL)
        site.ready_worker()
        site.wait_for_more(600)


def corrupt_release(site: Site) -> None:
    """A file is not what was released."""
    _worker_that_refused_v2(site)
    site.wait_for_more(600)


def restarted_after_a_corrupt_release(site: Site) -> None:
    """The newest release of one line cannot be loaded, and nothing is resident yet."""
    worker = _worker_that_refused_v2(site)
    worker.process.kill()
    site.buried(worker, -signal.SIGKILL)
    site.ready_worker()
    site.wait_for_more(600)


def garbage_released(site: Site) -> None:
    """Neither a worker that follows `models` nor one that reads it anew minds, and a good release goes live."""
    worker = _worker_with_frames(site)
    put_garbage(site)
    site.until(lambda: worker.events()["release refused"] >= len(GARBAGE))
    guest = site.ready_worker()
    site.wait_for_more(600)
    site.plant.train("B", "v2")
    site.until(lambda: _taken_up(worker, "v2") and _taken_up(guest, "v2"))


def workers_disk_full(site: Site) -> None:
    """It cannot copy a new model, goes on with the old one, and takes the next once there is room."""
    state = site.plant.folder / "state"
    state.mkdir(exist_ok=True)
    with small_disk(state):
        worker = _worker_with_frames(site)
        with filled(state):
            site.plant.train("A", "v2")
            _refused(site, worker)
            site.wait_for_more(600)
        _all_judged_by(site, "v1")
        site.plant.train("A", "v3")
        site.until(lambda: _taken_up(worker, "v3"))
        worker.signal(signal.SIGTERM)
        site.buried(worker, 0)
    site.ready_worker()


def v1_judged_all(site: Site) -> None:
    _all_judged_by(site, "v1")


@contextmanager
def store_away(site: Site) -> Iterator[None]:
    """Nothing lies where the store was."""
    away = site.store.with_suffix(".away")
    site.store.rename(away)
    try:
        yield
    finally:
        away.rename(site.store)


def corrupt(site: Site, release: Release) -> None:
    head = site.store / release.line / release.version / "head.safetensors"
    head.write_bytes(b"broken" + head.read_bytes())


def put_garbage(site: Site) -> None:
    """Under the key of a line that has a model, and under what no line could be called."""
    producer = open_client(KafkaProducer, site.plant.access)
    try:
        for number, content in enumerate(GARBAGE):
            producer.send(site.plant.topics["models"], value=content, key=(b"A", b"\xff\xfe")[number % 2]).get(30)
    finally:
        producer.close()


def _unannounced(site: Site, version: str) -> Release:
    return site.plant.stored("A", version)


def _worker_with_frames(site: Site) -> WorkerProcess:
    worker = site.ready_worker()
    site.send()
    site.wait_for_more(300)
    return worker


def _worker_that_refused_v2(site: Site) -> WorkerProcess:
    worker = _worker_with_frames(site)
    release = _unannounced(site, "v2")
    corrupt(site, release)
    site.plant.announce(release)
    _refused(site, worker)
    return worker


def _refused(site: Site, worker: WorkerProcess) -> None:
    site.until(lambda: 'qc_releases_total{outcome="refused"}' in worker.read("/metrics"))
    assert worker.events()["release refused"] > 0


def _taken_up(worker: WorkerProcess, version: str) -> bool:
    return any(entry.get("event") == "model taken up" and entry["version"] == version for entry in worker.log())


def _all_judged_by(site: Site, version: str) -> None:
    judged = site.verdicts.so_far()
    assert {one.model_version for one in judged} == {version}
