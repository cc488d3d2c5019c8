"""Run the worker loop: poll, admit, publish, commit; the pipeline's threads decode and judge.

Only the settled prefix of a partition is published, which keeps its order and its committed offset right.
"""

from contextlib import ExitStack

import structlog

from qc_worker.domain.errors import DeviceLost, GroupRebalancing, InvalidFrame, TransportError
from qc_worker.domain.frame import Partition
from qc_worker.domain.inspection import Inspection
from qc_worker.engine.in_flight import Committable, InFlight, Ticket
from qc_worker.engine.intake import Deadlines, admit, failure
from qc_worker.engine.patience import Outage, Patience
from qc_worker.engine.pipeline import Pipeline
from qc_worker.engine.residents import ResidentModels
from qc_worker.engine.stop import StopSignal
from qc_worker.observability import metrics
from qc_worker.ports.clock import Clock
from qc_worker.ports.frames import FrameSource
from qc_worker.ports.results import InspectionSink
from qc_worker.runtime.failpoints import failpoint

log = structlog.get_logger()

IDLE_POLL_S = 0.1
BUSY_WAIT_S = 0.005
OBSERVE_EVERY_S = 1.0


class Worker:
    """Judge frames until the stop signal. Every frame polled gets exactly one outcome, or stays uncommitted."""

    def __init__(
        self,
        *,
        source: FrameSource,
        sink: InspectionSink,
        pipeline: Pipeline,
        residents: ResidentModels,
        in_flight: InFlight,
        clock: Clock,
        stop: StopSignal,
        patience: Patience,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._pipeline = pipeline
        self._residents = residents
        self._in_flight = in_flight
        self._clock = clock
        self._stop = stop
        self._patience = patience
        self._deadlines = deadlines or Deadlines({}, clock)
        self._outage = Outage(patience, clock, stop)
        self._paused = False
        self._observe_at = 0.0
        self.last_step_at: float | None = None
        self.assigned_partitions = 0

    def run(self) -> None:
        """Loop until the stop signal, then finish the frames in flight.

        Raises TransportError if the broker does not answer for too long, DeviceLost if the device is lost; the frames
        in flight then stay uncommitted.
        """
        in_order = True
        try:
            # Models may have been loading for minutes, and the broker may have gone in that time: retry here as well.
            self._patience.keep_trying(self._source.start, clock=self._clock, stop=self._stop)
            self._patience.keep_trying(self._sink.start, clock=self._clock, stop=self._stop)
            self._pipeline.start()
            log.info("worker started", models=self._residents.versions())
            while not self._stop.is_set():
                self.step()
            self._drain()
        except DeviceLost:
            # A frame that was on the device may be the cause: the next worker tries these one at a time, as after a
            # crash. If none was, another process on the device is the cause, and no frame of ours must count as one.
            in_order = not self._pipeline.suspects_frames
            raise
        finally:
            self._close(in_order=in_order)

    def step(self) -> None:
        """Take one turn.

        Raises TransportError if the broker has not answered for too long, DeviceLost if the device is lost.
        """
        self.last_step_at = self._clock.monotonic()
        self._pipeline.check()
        try:
            self._fetch()
            self._observe()
            if self._publish():
                self._outage.end()
        except TransportError as error:
            self._outage.wait(error)
        if self._in_flight.frames:
            self._pipeline.wait_for_progress(BUSY_WAIT_S)

    def _fetch(self) -> None:
        """Poll until there is no room or no record is ready, so that large groups are published at once."""
        timeout_s = 0.0 if self._in_flight.frames else IDLE_POLL_S
        while self._poll(timeout_s):
            timeout_s = 0.0

    def _poll(self, timeout_s: float) -> bool:
        """Poll once and submit the records. Return True if there may be more and there is room for them."""
        room = self._room()
        self._pause_if_full(room)
        # A full worker polls as well, paused: a member that does not poll loses its place in the group.
        records = self._source.poll(timeout_s=timeout_s, max_records=max(1, room))
        # Before admitting the records: a partition can be lost, come back and deliver its frames again in one poll.
        self._forget_lost_partitions()
        if records:
            failpoint("after-poll")
        for record in records:
            self._admit(self._in_flight.admit(record, self._clock.monotonic()))
        return len(records) == room and self._room() > 0

    def _pause_if_full(self, room: int) -> None:
        is_full = room == 0
        if is_full == self._paused:
            return
        self._paused = is_full
        if is_full:
            self._source.pause()
        else:
            self._source.resume()

    def _room(self) -> int:
        """Count the frames that may be polled now; one at a time while the next may have killed a process."""
        if self._source.has_suspects():
            return 0 if self._in_flight.frames else 1
        return self._in_flight.room_frames

    def _admit(self, ticket: Ticket) -> None:
        try:
            self._pipeline.submit(admit(ticket, self._residents, self._deadlines))
        except InvalidFrame as error:
            ticket.settle(failure(ticket, error, self._clock))

    def _forget_lost_partitions(self) -> None:
        self._drop(self._source.take_lost())
        self._in_flight.forget_skipped()

    def _drop(self, lost: frozenset[Partition]) -> None:
        if dropped := self._in_flight.drop(lost):
            metrics.DROPPED_FRAMES.inc(dropped)
            log.info("partitions lost", partitions=sorted(lost), frames_left_to_new_owner=dropped)

    def _publish(self) -> bool:
        """Publish the settled frames; after a failure the next call retries the same ones.

        Return False if a rebalance delays it. Raises TransportError, also if the group has had no place for this worker
        for too long.
        """
        settled = self._in_flight.committable()
        if not settled.tickets:
            return True
        started = self._clock.monotonic()
        try:
            self._sink.publish(settled.outcomes, settled.offsets)
        except GroupRebalancing as error:
            # The frames that are still ours after the next poll are published then.
            log.info("publishing put off by a rebalance", reason=str(error), frames=len(settled.tickets))
            self._drop(self._in_flight.partitions() - self._source.assignment())
            if self._outage.is_too_long():
                raise
            return False
        self._in_flight.retire(settled)
        self._count(settled, started=started)
        return True

    def _drain(self) -> None:
        """Finish the frames in flight; those that do not finish in time stay uncommitted for the next worker."""
        deadline = self._clock.monotonic() + self._patience.grace_s
        log.info("worker stopping", in_flight=self._in_flight.frames)
        while self._in_flight.frames and self._clock.monotonic() < deadline:
            try:
                self._forget_lost_partitions()
                self._publish()
            except TransportError as error:
                log.warning("broker away while stopping", error=str(error))
                return
            self._pipeline.wait_for_progress(BUSY_WAIT_S)

    def _close(self, *, in_order: bool) -> None:
        with ExitStack() as stack:  # last in, first out: pipeline, sink, source, each even if another raises
            stack.callback(self._source.close, in_order=in_order)
            stack.callback(self._sink.close)
            stack.callback(self._pipeline.close, timeout_s=1.0)
        log.info("worker stopped", left_uncommitted=self._in_flight.frames)

    def _count(self, published: Committable, *, started: float) -> None:
        now = self._clock.monotonic()
        metrics.PUBLISH_SECONDS.observe(now - started)
        for ticket, outcome in zip(published.tickets, published.outcomes, strict=True):
            inspection = outcome.inspection
            metrics.INSPECTIONS.labels(line=self._line_label(inspection), verdict=inspection.verdict).inc()
            metrics.FRAME_SECONDS.observe(now - ticket.polled_at)
            if inspection.late:
                metrics.LATE_VERDICTS.inc()
            if outcome.dead_letter:
                metrics.DEAD_LETTERS.labels(reason=outcome.dead_letter.reason).inc()
                log.warning("frame not judged", source=str(inspection.source), detail=str(inspection.detail))

    def _line_label(self, inspection: Inspection) -> str:
        """Return the line if it has a model, else an empty label: other names come from outside and have no bound."""
        if inspection.line and self._residents.current(inspection.line):
            return inspection.line
        return ""

    def _observe(self) -> None:
        now = self._clock.monotonic()
        if now < self._observe_at:
            return
        self._observe_at = now + OBSERVE_EVERY_S
        metrics.IN_FLIGHT_FRAMES.set(self._in_flight.frames)
        metrics.IN_FLIGHT_BYTES.set(self._in_flight.bytes)
        self.assigned_partitions = len(self._source.assignment())
        metrics.ASSIGNED_PARTITIONS.set(self.assigned_partitions)
        metrics.LAG_FRAMES.set(self._source.lag_frames())
