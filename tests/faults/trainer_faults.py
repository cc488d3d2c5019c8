"""Faults of the trainer: it dies in the middle of a retrain, or has no room for what came of it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.disks import filled, small_disk
from tests.faults.site import Site
from tests.unit.trainer.factories import filled_store

RETRAIN = ("retrain", "--line", "A", "--input-size", "64", "--json")
QUICK, ENDLESS = ("--steps", "150"), ("--steps", "1000000")


def trainer_killed(site: Site) -> None:
    """In the middle of a retrain; the next one goes live all the same."""
    samples = site.plant.folder / "state" / "samples"
    filled_store(samples, good=24)
    worker = site.ready_worker()
    site.send()
    site.wait_for_more(300)
    with _trainer(site, *RETRAIN, *ENDLESS) as trainer:
        site.until((samples / ".A.lock").exists)
        site.until(lambda: list(site.plant.folder.glob("state/**/*.features")), timeout_s=90)
        trainer.kill()
    assert site.plant.store.versions("A") == ["v1"]
    _retrained(site)
    site.until(lambda: worker.events()["model taken up"] > 2)


def trainer_out_of_disk(site: Site) -> None:
    """The model store's disk is full; nothing of the new version appears, and with room again it goes live."""
    filled_store(site.plant.folder / "state" / "samples", good=24)
    with small_disk(site.store):
        worker = site.ready_worker()
        site.send()
        site.wait_for_more(300)
        with filled(site.store), _trainer(site, *RETRAIN, *QUICK) as trainer:
            _, said = trainer.communicate(timeout=150)
            assert (trainer.returncode, said.splitlines()[-1][:7]) == (2, "error: "), said
            assert site.plant.store.versions("A") == ["v1"]
        _retrained(site)
        site.until(lambda: worker.events()["model taken up"] > 2)
        site.wait_for_more(300)


@contextmanager
def _trainer(site: Site, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    trainer = subprocess.Popen(
        [sys.executable, "-m", "trainer.cli", *arguments],
        env=site.plant.environment,
        cwd=site.plant.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield trainer
    finally:
        trainer.kill()
        trainer.communicate()


def _retrained(site: Site) -> None:
    site.plant.command("trainer.cli", *RETRAIN, *QUICK)
    assert len(site.plant.store.versions("A")) == 2
