"""When kafka-python 3.0.12 takes up what it has fetched, and when it fetches more, put right.

Records of a partition that was paused half-read come back when it is resumed: kafka-python parks them, and takes parked
ones up only while it holds no partition's records at all; but the last partition that it has read to the end it goes
on holding. So they would stay parked for ever, and nothing more of their partition would be fetched.

Nothing is fetched while a partition is half-read: kafka-python has one fetch under way for each broker, and asks it for
the partitions that it holds no records of. While one is half-read these are the others; if they are empty, the broker
keeps that fetch waiting for `fetch_max_wait_ms`, and the next fetch of the partition with the backlog waits behind it:
half a second for every 17 MiB, which held a worker at a third of its speed.
"""

from collections.abc import Callable
from typing import Any

from kafka.consumer.fetcher import Fetcher

_fetched_records: Callable[..., Any] = Fetcher.fetched_records


def install() -> None:
    """Let kafka-python's consumers of this process do so."""
    Fetcher.fetched_records = fetched_records


def fetched_records(fetcher: Any, *arguments: Any, **options: Any) -> Any:
    """The same, with nothing left in the hand that is empty, and what is half-read reckoned as not yet drained."""
    if not fetcher._next_partition_records:
        fetcher._next_partition_records = None
    records, is_partial = _fetched_records(fetcher, *arguments, **options)
    return records, is_partial or bool(fetcher._next_partition_records)
