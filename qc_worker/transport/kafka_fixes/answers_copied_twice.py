"""Copy a broker's answer once where kafka-python 3.0.12 copies it twice: a slice of the buffer, then its bytes."""

from collections.abc import Callable
from typing import Any

from qc_worker.transport.kafka_fixes.fix import NOT_REPORTED, Fix


def install(_original: Callable[..., bytes]) -> Callable[..., bytes]:
    """Return `read`, which does not need the original."""
    return read


def read(answer: Any, size: int | None = None) -> bytes:
    """Return the next `size` bytes of an answer, or the rest of it."""
    start = answer._idx
    answer._idx = len(answer) if size is None else min(len(answer), start + size)
    with memoryview(answer) as view:
        return bytes(view[start : answer._idx])


FIX = Fix(
    defect="Every answer of a broker is copied once more than needed: twice its size in memory, and time.",
    target="kafka.protocol.frame.KafkaBytes.read",
    upstream=NOT_REPORTED,
    install=install,
)
