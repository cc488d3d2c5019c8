"""The worker loop: poll, admit, publish, commit; decoding and judging happen in the pipeline's threads.

Only the settled prefix of a partition is published, so order and committed offsets need no further thought.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import structlog

from qc_worker.domain.errors import DeviceLost, GroupRebalancing, InvalidFrame, TransportError
from qc_worker.domain.frame import Partition
from qc_worker.domain.inspection import Inspection
from qc_worker.engine.in_flight import Committable, InFlight, Ticket
from qc_worker.engine.intake import Deadlines, admit, failure
from qc_worker.engine.pipeline import Pipeline
from qc_worker.engine.residents import ResidentModels
from qc_worker.engine.stop import StopSignal
from qc_worker.observability import metrics
from qc_worker.ports import Clock, FrameSource, InspectionSink
from qc_worker.runtime.failpoints import failpoint

log = structlog.get_logger()

IDLE_POLL_S = 0.1
BUSY_WAIT_S = 0.005
OBSERVE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the worker keeps trying."""

    grace_s: float = 6.0
    """After a stop signal, for the frames in flight."""
    broker_s: float = 120.0
    """For a broker that does not answer; longer than that is for the supervisor to notice."""
    retry_s: float = 0.5
    """Between two attempts."""


class Worker:
    """Judges frames until told to stop. Every frame polled gets exactly one outcome, or stays uncommitted."""

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
        self._failing_since: float | None = None
        self._paused = False
        self._observe_at = 0.0
        self.last_step_at: float | None = None
        self.assigned_partitions = 0

    def run(self) -> None:
        """Loop until stopped, then finish what is in flight.

        Raises TransportError when the broker stays away, DeviceLost; then the frames in flight stay uncommitted.
        """
        in_order = True
        try:
            # Loading models may have taken minutes since the brokers last answered: no reason to be less patient.
            self._start_patiently(self._source.start)
            self._start_patiently(self._sink.start)
            self._pipeline.start()
            log.info("worker started", models=self._residents.versions())
            while not self._stop.is_set():
                self.step()
            self._drain()
        except DeviceLost:
            # Perhaps by a frame in flight: the next worker tries these one at a time, as after a death.
            in_order = False
            raise
        finally:
            self._close(in_order=in_order)

    def step(self) -> None:
        """Take one turn. Raises TransportError when the broker has been away for too long."""
        self.last_step_at = self._clock.monotonic()
        try:
            self._take_in()
            self._observe()
            if self._publish():
                self._failing_since = None
        except TransportError as error:
            self._wait_for_broker(error)
        if self._in_flight.frames:
            self._pipeline.wait_for_progress(BUSY_WAIT_S)

    def _start_patiently(self, start: Callable[[], None]) -> None:
        """Try until it succeeds. Raises TransportError when the broker has been away for too long."""
        while not self._stop.is_set():
            try:
                start()
            except TransportError as error:
                self._wait_for_broker(error)
            else:
                self._failing_since = None
                return

    def _take_in(self) -> None:
        """Poll until there is no room or nothing more lies ready, so that large groups are published at once."""
        timeout_s = 0.0 if self._in_flight.frames else IDLE_POLL_S
        while self._poll(timeout_s):
            timeout_s = 0.0

    def _poll(self, timeout_s: float) -> bool:
        """Take in what one poll brings, and say whether to go on; paused, polling keeps the place in the group."""
        room = self._room()
        if (room == 0) != self._paused:
            self._paused = room == 0
            (self._source.pause if self._paused else self._source.resume)()
        records = self._source.poll(timeout_s=timeout_s, max_records=max(1, room))
        # Before taking in what came: a partition can be lost, come back and deliver its frames anew within one poll.
        self._forget_lost_partitions()
        if records:
            failpoint("after-poll")
        for record in records:
            self._admit(self._in_flight.admit(record, self._clock.monotonic()))
        return len(records) == room and self._room() > 0

    def _room(self) -> int:
        """How many frames to take in; one at a time while the next may be what killed a process."""
        if self._source.has_suspects():
            return 0 if self._in_flight.frames else 1
        return self._in_flight.room_frames

    def _admit(self, ticket: Ticket) -> None:
        try:
            self._pipeline.submit(admit(ticket, self._residents, self._deadlines))
        except InvalidFrame as error:
            ticket.outcome = failure(ticket, error, self._clock)

    def _forget_lost_partitions(self) -> None:
        self._drop(self._source.take_lost())
        self._in_flight.forget_skipped()

    def _drop(self, lost: frozenset[Partition]) -> None:
        if dropped := self._in_flight.drop(lost):
            metrics.DROPPED_FRAMES.inc(dropped)
            log.info("partitions lost", partitions=sorted(lost), frames_left_to_new_owner=dropped)

    def _publish(self) -> bool:
        """Publish what is settled; after a failure the same frames are tried again. False: a rebalance put it off.

        Raises TransportError, also when the group has had no place for this worker for too long.
        """
        settled = self._in_flight.committable()
        if not settled.tickets:
            return True
        started = self._clock.monotonic()
        try:
            self._sink.publish(settled.outcomes, settled.offsets)
        except GroupRebalancing as error:
            # What is still ours after the next poll is published then.
            log.info("publishing put off by a rebalance", reason=str(error), frames=len(settled.tickets))
            self._drop(self._in_flight.partitions() - self._source.assignment())
            if self._failing_s() > self._patience.broker_s:
                raise
            return False
        self._in_flight.retire(settled)
        self._count(settled, started=started)
        return True

    def _wait_for_broker(self, error: TransportError) -> None:
        metrics.TRANSPORT_FAILURES.inc()
        away_s = self._failing_s()
        log.warning("broker away", error=str(error), away_s=round(away_s, 1))
        if away_s > self._patience.broker_s:
            raise error
        self._stop.wait(self._patience.retry_s)

    def _failing_s(self) -> float:
        """How long it has been since the first failure after which nothing went well; 0 for this first one."""
        now = self._clock.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        return now - self._failing_since

    def _drain(self) -> None:
        """Finish what is in flight; what does not finish in time stays uncommitted for the next worker."""
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
        with ExitStack() as stack:  # last in, first out: pipeline, sink, source, each whatever the others raise
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
        """Only lines with a model become a label: other names come from outside and have no bound."""
        return inspection.line if inspection.line and self._residents.current(inspection.line) else ""

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
