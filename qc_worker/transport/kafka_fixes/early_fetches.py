"""Fetch nothing while a partition is half-read.

kafka-python 3.0.12 has one fetch under way for each broker, and asks it for the partitions that it holds no records of.
While one is half-read these are the others; if they are empty, the broker keeps that fetch waiting for
`fetch_max_wait_ms`, and the next fetch of the partition with the backlog waits behind it: half a second for every
17 MiB, which held a worker at a third of its speed.
"""

from collections.abc import Callable
from typing import Any

from qc_worker.transport.kafka_fixes.fix import NOT_REPORTED, Fix


def install(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls the original and reports a half-read partition as not drained."""

    def fetched_records(fetcher: Any, *arguments: Any, **options: Any) -> Any:
        records, is_partial = original(fetcher, *arguments, **options)
        return records, is_partial or bool(fetcher._next_partition_records)

    return fetched_records


FIX = Fix(
    defect="A backlog on one partition is read slowly while others are empty: each fetch waits `fetch_max_wait_ms`.",
    target="kafka.consumer.fetcher.Fetcher.fetched_records",
    upstream=NOT_REPORTED,
    install=install,
)
