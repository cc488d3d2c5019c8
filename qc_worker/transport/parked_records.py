"""Records of a partition that was paused half-read come back when it is resumed.

kafka-python 3.0.12 parks them, and takes parked ones up only while it holds no partition's records at all; but the last
partition that it has read to the end it goes on holding. So they would stay parked for ever, and nothing more of their
partition would be fetched.
"""

from collections.abc import Callable
from typing import Any

from kafka.consumer.fetcher import Fetcher

_fetched_records: Callable[..., Any] = Fetcher.fetched_records


def install() -> None:
    """Let kafka-python's consumers of this process do so."""
    Fetcher.fetched_records = fetched_records


def fetched_records(fetcher: Any, *arguments: Any, **options: Any) -> Any:
    """The same, with nothing left in the hand that is empty."""
    if not fetcher._next_partition_records:
        fetcher._next_partition_records = None
    return _fetched_records(fetcher, *arguments, **options)
