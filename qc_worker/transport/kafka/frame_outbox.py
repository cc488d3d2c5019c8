"""Pushes a camera's frames to `images`."""

from types import TracebackType
from typing import Any

from kafka import KafkaProducer

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import ImageMessage, Position
from qc_worker.transport.kafka.connecting.access import KafkaAccess, transport_errors
from qc_worker.transport.kafka.producer import DELIVERY_TIMEOUT_S, close_producer, open_producer


class KafkaFrameReceipt:
    """The receipt for a frame that was sent, acknowledged or not yet."""

    def __init__(self, future: Any) -> None:
        self._future = future

    def position(self, *, timeout_s: float) -> Position:
        with transport_errors("waiting for the acknowledgement of a frame"):
            metadata = self._future.get(timeout_s)
        return Position(metadata.topic, metadata.partition, metadata.offset)


class KafkaFrameOutbox:
    """Sends frames in order, without waiting for each; `flush` raises if one has not arrived."""

    def __init__(self, access: KafkaAccess, *, topic: str, delivery_timeout_s: float = DELIVERY_TIMEOUT_S) -> None:
        self._access = access
        self._topic = topic
        self._delivery_timeout_s = delivery_timeout_s
        self._producer: KafkaProducer | None = None
        self._unsettled: list[Any] = []

    def send(self, message: ImageMessage, *, partition: int | None = None) -> KafkaFrameReceipt:
        if self._producer is None:
            self._producer = open_producer(self._access, self._delivery_timeout_s)
        with transport_errors(f"sending to {self._topic}"):
            future = self._producer.send(
                self._topic, value=message.content, key=message.key, headers=message.headers, partition=partition
            )
        self._unsettled = [f for f in self._unsettled if not f.succeeded()] + [future]
        return KafkaFrameReceipt(future)

    def flush(self) -> None:
        if self._producer is None:
            return
        with transport_errors(f"sending to {self._topic}"):
            self._producer.flush(timeout=2 * self._delivery_timeout_s)
        missing = [future for future in self._unsettled if not future.succeeded()]
        self._unsettled = []
        if missing:
            raise TransportError(f"{len(missing)} frames were not acknowledged; first: {missing[0].exception}")

    def close(self) -> None:
        if self._producer is not None:
            close_producer(self._producer, timeout_s=self._delivery_timeout_s)
            self._producer = None

    def __enter__(self) -> "KafkaFrameOutbox":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
