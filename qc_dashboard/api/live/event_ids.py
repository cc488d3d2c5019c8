"""Write places on `results` as the id of a server-sent event, which a browser sends back when it connects again."""

import re
from collections.abc import Mapping

from qc_worker.domain.frame import Partition

MAX_ID_LENGTH = 8_192
ID = re.compile(r"at(\.[0-9]{1,9}-[0-9]{1,18})*", re.ASCII)


def event_id(places: Mapping[Partition, int]) -> str:
    """Write the places."""
    return ".".join(["at", *(f"{partition.partition}-{offset}" for partition, offset in sorted(places.items()))])


def places_in(text: str) -> dict[int, int]:
    """Return the next offset by number of the partition. Raises ValueError if `event_id` has not written the text."""
    if len(text) > MAX_ID_LENGTH or not ID.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not the id of an event")
    pairs = (pair.split("-") for pair in text.split(".")[1:])
    return {int(partition): int(offset) for partition, offset in pairs}
