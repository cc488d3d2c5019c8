"""Opens producers, and sends records in order until they are acknowledged."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from qc_worker.domain.errors import TransportError
from qc_worker.transport.kafka.connecting.access import KafkaAccess, open_client, transport_errors
from qc_worker.transport.kafka_fixes.private_api import stop_sender
from qc_worker.transport.limits import MAX_DEAD_LETTER_BYTES
from qc_worker.transport.outgoing import OutgoingRecord

DELIVERY_TIMEOUT_S = 30.0
FORCED_CLOSE_S = 5.0


def open_producer(access: KafkaAccess, delivery_timeout_s: float = DELIVERY_TIMEOUT_S, **config: Any) -> KafkaProducer:
    """Open a producer that keeps the order and never stores a retry twice. Raises TransportError."""
    delivery_timeout_ms = int(delivery_timeout_s * 1000)
    return open_client(
        KafkaProducer,
        _with_request_timeout(access, delivery_timeout_ms),
        acks="all",
        # Idempotence numbers the batches of a partition, so the broker refuses one that comes out of order, up to 5
        # requests in flight; kafka-python moreover keeps one batch per partition in flight. Together: send order.
        enable_idempotence=True,
        max_in_flight_requests_per_connection=5,
        compression_type=None,  # images do not compress
        max_request_size=MAX_DEAD_LETTER_BYTES,
        # Gathers what is sent before the flush into one batch; the flush itself ends the wait.
        linger_ms=20,
        delivery_timeout_ms=delivery_timeout_ms,
        max_block_ms=delivery_timeout_ms,
        allow_auto_create_topics=False,
        metrics_enabled=False,  # kafka-python's own, which nobody reads
        **config,
    )


def send_and_wait(producer: Any, records: Sequence[OutgoingRecord], *, timeout_s: float) -> None:
    """Send in order and check every acknowledgement. Raises TransportError if any is missing."""
    with transport_errors("publishing"):
        futures = send_all(producer, records)
        flush(producer, timeout_s=timeout_s)
    check_acknowledged(futures)


def send_all(producer: Any, records: Sequence[OutgoingRecord]) -> list[Any]:
    """Hand the records to the sender's thread, in order. Raises KafkaError, TransportError."""
    return [_send(producer, record) for record in records]


def flush(producer: Any, *, timeout_s: float) -> None:
    """Wait for the answers to all that was sent. Raises KafkaTimeoutError."""
    # A batch gives up by itself after the delivery timeout, if the producer ever got to send; hence a little more.
    producer.flush(timeout=timeout_s + 1)


def check_acknowledged(futures: Sequence[Any]) -> None:
    """Raise TransportError if a record was not acknowledged."""
    failures = [future.exception for future in futures if not future.succeeded()]
    if failures:
        first = "no answer" if failures[0] is None else f"{type(failures[0]).__name__}: {failures[0]}"
        raise TransportError(f"{len(failures)} of {len(futures)} records were not acknowledged; first: {first}")


def close_producer(producer: Any, *, timeout_s: float) -> None:
    """Wait up to `timeout_s` for records in flight, then disconnect even if some are left."""
    try:
        producer.close(timeout=timeout_s)
    except KafkaTimeoutError:
        # It flushes first and, if that fails, closes nothing.
        stop_sender(producer, timeout_s=FORCED_CLOSE_S)
        with suppress(KafkaError):
            producer.close(timeout=0)
    else:
        # When its time is up, it tells its thread to end and does not wait for that.
        stop_sender(producer, timeout_s=FORCED_CLOSE_S)


def _send(producer: Any, record: OutgoingRecord) -> Any:
    try:
        return producer.send(record.topic, value=record.content, key=record.key, headers=record.headers)
    except (ValueError, TypeError) as error:
        # For example a topic without partitions. The frame is not the cause, so it must not be dropped.
        raise TransportError(f"sending to {record.topic}: {error}") from error


def _with_request_timeout(access: KafkaAccess, delivery_timeout_ms: int) -> KafkaAccess:
    """Limit the request timeout, so that a request can time out and be retried before its delivery times out."""
    return replace(access, request_timeout_ms=min(access.request_timeout_ms, delivery_timeout_ms // 2))
