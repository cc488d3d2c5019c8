"""`qc-worker account`, as an auditor would ask for it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.plant import Plant


@dataclass(frozen=True, slots=True)
class Books:
    """What the account says."""

    clean: bool
    frames: int
    waiting: int
    dead_letters: int
    discrepancies: Mapping[str, int]
    """By kind, of those there are."""


def account(plant: Plant, *options: str) -> Books:
    """Run the command line to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "qc_worker.cli", "account", "--json", *options],
        env=plant.environment,
        cwd=plant.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    totals = document["totals"]
    return Books(
        clean=document["clean"],
        frames=totals["frames"],
        waiting=totals["waiting"],
        dead_letters=totals["dead_letters"],
        discrepancies={kind: one["count"] for kind, one in document["discrepancies"].items() if one["count"]},
    )
