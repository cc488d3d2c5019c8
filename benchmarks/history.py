"""Measure the dashboard's history on SQLite and PostgreSQL, which take turns.

- projection: inspections a second from `results` into an empty database, by the loop that `qc-dashboard run` has. The
  topic is on the in-memory broker, or on the one that QC_TEST_KAFKA names, which then works on the same cores.
- search: a database of `--rows` inspections (5 lines, 4 cameras, 50 frames/s, 3 % rejects), then each kind of search
  with arguments drawn at random, `--queries` times; pages of 50, newest first. Milliseconds, p50 and p95.
- bytes per million rows, indexes included; loading as it comes from the projection, without the topic.

PostgreSQL is Debian's, started here with its default settings. Prints one JSON object: {"projection": {...}, "search":
{"sqlite": {"line + time + verdict": {"p50_ms", "p95_ms"}, ...}, ...}, "bytes_per_million_rows": {...}, ...}.
"""

import argparse
import json
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time

from sqlalchemy import text

from benchmarks.harness.history_load import BEGAN, CAMERAS, FRAME_EVERY, FRAMES_OF_A_VERSION, LINES, Load
from benchmarks.harness.history_topic import Topic, open_topic
from benchmarks.harness.machine import machine, versions
from qc_dashboard.database.database import Database
from qc_dashboard.history.history import History
from qc_dashboard.history.search import Order, Place, Search
from qc_dashboard.history.times import to_us
from qc_dashboard.history.writing import store_inspections
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from qc_worker.observability.logging import configure_logging
from tests.support.databases import DATABASES, migrated, new_url
from tests.support.postgresql import PostgreSQL

BATCH_ROWS = 2_000
PAGE = 50
SHIFT = timedelta(hours=8)
SPAN = timedelta(hours=1)

Ask = Callable[[], object]


def main() -> None:
    configure_logging("warning", "json")  # to stderr: stdout is for the JSON object alone
    options = _options()
    with ExitStack() as stack:
        server = PostgreSQL(durable=True)
        stack.callback(server.remove)
        server.start()
        topic = stack.enter_context(open_topic(Load(options.inspections)))
        projection = _projection(server, topic, options)
        searched = {kind: _searched(kind, server, options) for kind in options.databases}
    found = {
        "benchmark": "history",
        "projection": projection,
        "rows": options.rows,
        "search": {kind: figures["search"] for kind, figures in searched.items()},
        "loaded_rows_per_s": {kind: figures["rows_per_s"] for kind, figures in searched.items()},
        "bytes_per_million_rows": {kind: figures["bytes"] for kind, figures in searched.items()},
    }
    stamp = {"taken_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "versions": versions()}
    print(json.dumps(found | {"rounds": options.rounds, "queries": options.queries} | stamp))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each database in the projection")
    parser.add_argument("--inspections", type=int, default=50_000, help="inspections on the topic of the projection")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the database that is searched")
    parser.add_argument("--queries", type=int, default=200, help="searches of each kind")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES, help="those to measure")
    parser.add_argument("--quick", action="store_true", help="some seconds: one short round")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.inspections, options.rows, options.queries = 1, 2_000, 4_000, 5
    return options


def _projection(server: PostgreSQL, topic: Topic, options: argparse.Namespace) -> Mapping[str, object]:
    turns: dict[str, list[tuple[float, float]]] = {kind: [] for kind in options.databases}
    for _ in range(options.rounds):
        for kind in options.databases:
            with _new_database(kind, server) as database:
                began_s, cpu_s = perf_counter(), process_time()
                topic.project(database)
                lasted_s, worked_s = perf_counter() - began_s, process_time() - cpu_s
            turns[kind].append((options.inspections / lasted_s, 1e6 * worked_s / options.inspections))
    figures = {
        kind: {
            "inspections_per_s": round(statistics.median(rate for rate, _ in taken)),
            "cpu_us_per_inspection": round(statistics.median(cpu for _, cpu in taken), 1),
        }
        for kind, taken in turns.items()
    }
    return {"broker": topic.broker, "inspections": options.inspections, **figures}


def _searched(kind: str, server: PostgreSQL, options: argparse.Namespace) -> Mapping[str, object]:
    load = Load(options.rows)
    with _new_database(kind, server) as database:
        empty = _size(database)
        lasted_s = _fill(database, load)
        size = _size(database) - empty
        asks = _asks(History(database), load, random.Random(1))
        search = {name: _percentiles([_ms(ask) for _ in range(options.queries)]) for name, ask in asks.items()}
    return {"search": search, "rows_per_s": round(options.rows / lasted_s), "bytes": round(size * 1e6 / options.rows)}


def _fill(database: Database, load: Load) -> float:
    """Store the load, and return the seconds that the database took for it."""
    lasted_s = 0.0
    for rows in load.rows(BATCH_ROWS):
        began_s = perf_counter()
        with database.writing() as connection:
            store_inspections(connection, rows)
        lasted_s += perf_counter() - began_s
    if database.kind == "postgresql":  # what autovacuum does in time
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE inspections"))
    return lasted_s


def _asks(history: History, load: Load, dice: random.Random) -> Mapping[str, Ask]:
    def number() -> int:
        return dice.randrange(load.frames)

    def since() -> int:
        return to_us(BEGAN + number() * FRAME_EVERY)

    def within(length: timedelta, find: Search) -> Search:
        start = since()
        return replace(find, since_us=start, until_us=start + length // timedelta(microseconds=1))

    def line() -> str:
        return dice.choice(LINES)

    def version() -> str:
        return f"v{number() // FRAMES_OF_A_VERSION:05}"

    def search(find: Search, *, after: Place | None = None, order: Order = Order.NEWEST) -> object:
        return history.search(find, order=order, after=after, limit=PAGE)

    rejected = (Verdict.REJECT, Verdict.REVIEW)
    return {
        "line + time + verdict": lambda: search(within(SPAN, Search(line=line(), verdicts=rejected))),
        "part": lambda: search(Search(part=load.part(number()))),
        "frame id": lambda: search(Search(frame_id=load.inspection(number()).frame_id)),
        "newest of all": lambda: search(Search()),
        "deep page of a line": lambda: search(Search(line=line()), after=Place(since(), Position("images", 0, 0))),
        "verdict, oldest first": lambda: search(Search(verdicts=(Verdict.ERROR,)), order=Order.OLDEST),
        "line + camera + time": lambda: search(within(SPAN, Search(line=line(), camera=dice.choice(CAMERAS)))),
        "line + version": lambda: search(Search(line=line(), model_version=version())),
        "line + verdict + score": lambda: search(Search(line=line(), verdicts=rejected, min_score=5.0)),
        "line + score + time": lambda: search(within(SPAN, Search(line=line(), min_score=5.0))),
        "neighbours": lambda: history.neighbours(Position("images", 0, number())),
        "lines": history.lines,
        "counts of all lines' hour": lambda: history.counts(within(SPAN, Search()), bucket_us=60_000_000),
        "counts of a line's hour": lambda: history.counts(within(SPAN, Search(line=line())), bucket_us=60_000_000),
        "counts of a line's shift": lambda: history.counts(within(SHIFT, Search(line=line())), bucket_us=900_000_000),
        "timeline of all": lambda: history.timeline(Search(), now_us=to_us(BEGAN + load.frames * FRAME_EVERY)),
        "timeline of a line's hours": lambda: history.timeline(within(SHIFT, Search(line=line())), now_us=0),
    }


def _ms(ask: Ask) -> float:
    began_s = perf_counter()
    ask()
    return 1000 * (perf_counter() - began_s)


def _percentiles(figures: Sequence[float]) -> Mapping[str, float]:
    ranked = statistics.quantiles(figures, n=20, method="inclusive")
    return {"p50_ms": round(ranked[9], 2), "p95_ms": round(ranked[18], 2)}


def _size(database: Database) -> int:
    """Return the bytes of the whole database."""
    with database.engine.connect() as connection:
        if database.kind == "postgresql":
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
        pages, page = (connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("page_count", "page_size"))
        return int(pages * page)


@contextmanager
def _new_database(kind: str, server: PostgreSQL) -> Iterator[Database]:
    with (
        tempfile.TemporaryDirectory() as folder,
        new_url(server if kind == "postgresql" else None, Path(folder)) as url,
        migrated(url) as database,
    ):
        yield database


if __name__ == "__main__":
    main()
