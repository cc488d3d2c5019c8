"""Measure the seconds from "good" on a page to a live version that learned from it, and what they are made of.

Real processes: a worker, a dashboard on SQLite, `qc-trainer collect` and `qc-trainer retrain`, on the embedded broker,
or on the one that QC_TEST_KAFKA names. Pictures of 48 x 48 pixels; the line has `--good` samples before. Frames flow
while the worker loads the new version, as on a line that runs. The times are those that the API tells.

Prints one JSON object: {"seconds": {"sent", "collected", "trained", "released", "live", "good_to_live"}, ...}.
`collected` and `trained` hold the start of a process each, and `trained` all that `retrain` does.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness.machine import machine, versions
from qc_worker.embedded.services import DELIVERY, EmbeddedCache, EmbeddedServices
from qc_worker.observability.logging import configure_logging
from tests.conftest import KAFKA_SESSION_TIMEOUT_MS, Services
from tests.support.dashboard import DashboardProcess
from tests.support.learning import QUICK, Lesson
from tests.support.plant import Plant


def main() -> None:
    configure_logging("warning", "json")  # to stderr: stdout is for the JSON object alone
    options = _options()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qc-learning-")))
        services = stack.enter_context(_services())
        plant = Plant(services, folder)
        plant.open()
        stack.callback(plant.close)
        plant.train("A", "v1")
        dashboard = DashboardProcess(plant, f"sqlite:///{folder / 'history.sqlite3'}")
        stack.callback(dashboard.end)
        stack.enter_context(plant.worker())
        lesson = Lesson(plant, dashboard, good=options.good)
        stack.callback(lesson.close)
        learned = lesson.learn(*(QUICK if options.quick else ()))
    print(
        json.dumps(
            {
                "benchmark": "learning",
                "broker": "QC_TEST_KAFKA" if os.environ.get("QC_TEST_KAFKA") else "embedded",
                "seconds": {name: round(lasted, 2) for name, lasted in learned.seconds.items()},
                "stages_of_retrain_s": learned.retrained["stages_s"],
                "samples": learned.retrained["training_samples"],
                "backbone": learned.retrained["backbone"],
                "input_size": learned.retrained["input_size"],
                "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": machine(),
                "versions": versions(),
            }
        )
    )


@contextmanager
def _services() -> Iterator[Services]:
    named = os.environ.get("QC_TEST_KAFKA")
    with ExitStack() as stack:
        if named:
            cache = EmbeddedCache()
            cache.start()
            stack.callback(cache.stop)
            yield Services(named, cache.redis_url, KAFKA_SESSION_TIMEOUT_MS, "auto")
        else:
            embedded = stack.enter_context(EmbeddedServices())
            yield Services(embedded.bootstrap_servers, embedded.redis_url, embedded.session_timeout_ms, DELIVERY)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--good", type=int, default=200, help="good samples that the line has before")
    parser.add_argument("--quick", action="store_true", help="24 samples, a small input and a short training")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    options = parser.parse_args()
    if options.quick:
        options.good = 24
    return options


if __name__ == "__main__":
    main()
