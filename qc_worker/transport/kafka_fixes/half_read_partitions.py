"""Return the records of a partition that was paused half-read when it is resumed.

kafka-python 3.0.12 parks such records, and takes parked ones only while it holds no partition's records at all; but it
goes on holding the last partition that it has read to the end. So they stay parked without an end, and nothing more of
their partition is fetched.
"""

from collections.abc import Callable
from typing import Any

from qc_worker.transport.kafka_fixes.fix import NOT_REPORTED, Fix


def install(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that releases an exhausted partition and then calls the original."""

    def fetched_records(fetcher: Any, *arguments: Any, **options: Any) -> Any:
        if not fetcher._next_partition_records:
            fetcher._next_partition_records = None
        return original(fetcher, *arguments, **options)

    return fetched_records


FIX = Fix(
    defect="A partition that is paused when some of its fetched records were returned is never read again.",
    target="kafka.consumer.fetcher.Fetcher.fetched_records",
    upstream=NOT_REPORTED,
    install=install,
)
