"""Run the threads between admission and outcome: decode threads, an inference thread, a judging thread.

admitted -> decode threads -> batch queue -> inference thread -> judging thread, beside the next batch's inference.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from qc_worker.domain.errors import DeviceLost, InvalidFrame, Reason
from qc_worker.engine.batcher import BatchQueue
from qc_worker.engine.decoding import Decoded, Decoding
from qc_worker.engine.device.under_way import UnderWay
from qc_worker.engine.inference import Inferred, ModelRunner
from qc_worker.engine.intake import Admitted, failure
from qc_worker.engine.judge import Judge
from qc_worker.observability import metrics
from qc_worker.ports.clock import Clock
from qc_worker.simplenet.inference.device_errors import is_of_shared_gpu, loses_device

BATCHES_AHEAD = 2
"""Batches that wait to be judged or are being judged."""

log = structlog.get_logger()


class Pipeline:
    """Settle every submitted ticket, also if its frame or its batch fails, as long as the device is there."""

    def __init__(
        self,
        *,
        runner: ModelRunner,
        judge: Judge,
        batches: BatchQueue[Decoded],
        decoding: Decoding,
        clock: Clock,
    ) -> None:
        self._runner = runner
        self._judge = judge
        self._batches = batches
        self._decoding = decoding
        self._clock = clock
        # Not one of the decode threads: there a finished batch would wait behind all frames yet to be decoded.
        self._judging = ThreadPoolExecutor(1, thread_name_prefix="judging")
        self._inference = threading.Thread(target=self._run_inference, name="inference", daemon=True)
        self._progress = threading.Event()
        # For the batch being judged and the next one; the inference thread may hold a third, then queued on a GPU.
        # More would only occupy the GPU's memory.
        self._room = threading.Semaphore(BATCHES_AHEAD)
        self._under_way = UnderWay(clock)
        self._giving_up = threading.Lock()
        self._given_up = ""
        self.suspects_frames = False
        """After DeviceLost: frames in flight may be the cause, because they were on the device."""

    def start(self) -> None:
        self._decoding.start(self._take_decoded)
        self._inference.start()

    def submit(self, admitted: Admitted) -> None:
        """Queue a frame; its ticket is settled later, by another thread."""
        self._decoding.submit(admitted)

    def wait_for_progress(self, timeout_s: float) -> None:
        """Wait until a ticket has been settled. Raises DeviceLost as `check` does."""
        self._progress.wait(timeout_s)
        self._progress.clear()
        self.check()

    def check(self) -> None:
        """Raise DeviceLost if the device is lost or a thread has ended: a new process may judge the open frames."""
        if self._given_up:
            raise DeviceLost(self._given_up)

    def give_up(self, why: str) -> None:
        """Have the worker end with DeviceLost; safe from any thread. The first reason counts."""
        self._give_up(why, is_ours=not self._under_way.is_idle())

    def stuck_s(self) -> float:
        """Return the seconds without progress of any batch, or of the JPEGs on the device; 0 without any."""
        return max(self._under_way.stuck_s(), self._decoding.stuck_s())

    def close(self, timeout_s: float) -> None:
        """Finish the running batch and drop the frames behind it; their tickets stay open."""
        self._decoding.close(timeout_s)
        self._batches.close()
        if self._inference.is_alive():
            self._inference.join(timeout_s)
        if not self._inference.is_alive():
            self._judging.shutdown(wait=True)

    def _take_decoded(self, admitted: Admitted, decoded: Decoded | Exception) -> None:
        if isinstance(decoded, Exception):
            self._fail(admitted, Reason.UNDECODABLE, decoded)
        else:
            metrics.DECODE_SECONDS.observe(decoded.decode_ms / 1000)
            self._batches.add(decoded)

    def _run_inference(self) -> None:
        try:
            while batch := self._batches.take():
                self._check_unused_device(batch)
                with self._under_way.work():
                    for inferred in self._infer(batch):
                        self._under_way.begin()  # its judging
                        self._room.acquire()
                        self._judging.submit(self._judge_batch, inferred).add_done_callback(self._check_judged)
                self._judging.submit(self._batches.finish)  # one thread, in order: after all of the batch is judged
        except Exception as error:  # outermost loop of this thread: otherwise the worker would wait for it forever
            log.exception("inference ended")
            if loses_device(error):
                self.give_up(_lost(error))
            else:
                self._give_up(f"inference ended: {_described(error)}", is_ours=True)

    def _check_unused_device(self, batch: Sequence[Decoded]) -> None:
        """Find a fault of the device before any frame of ours is on it: no frame can be the cause."""
        if self._under_way.is_idle() and not any(decoded.picture.decoded for decoded in batch):
            self._runner.check_device()

    def _check_judged(self, judged: Future[None]) -> None:
        """Give up if judging has raised: the tickets of that batch would stay open forever."""
        if error := judged.exception():
            self.give_up(f"judging ended: {_described(error)}")
        self._under_way.end()

    def _infer(self, batch: Sequence[Decoded]) -> list[Inferred]:
        """Infer the batch in one pass; if that fails, each frame alone, so that no frame can fail the others."""
        try:
            with self._under_way.work():
                return [self._runner.infer(batch)]
        except Exception as error:  # noqa: BLE001  (each frame of the batch gets its outcome)
            log.warning("batch failed", frames=len(batch), error=_described(error))
            if len(batch) > 1 and not loses_device(error):
                return [inferred for decoded in batch for inferred in self._infer([decoded])]
            self._fail(batch[0], Reason.MODEL_FAILED, error)
            return []

    def _judge_batch(self, inferred: Inferred) -> None:
        try:
            with inferred.scored.reading():
                judged = self._judge.judge(inferred)
        except Exception as error:  # each frame of the batch gets its outcome
            log.exception("judging failed", frames=len(inferred.batch))
            for decoded in inferred.batch:
                self._fail(decoded, Reason.MODEL_FAILED, error)
            return
        finally:
            self._room.release()
        for decoded, outcome in zip(inferred.batch, judged.outcomes, strict=True):
            decoded.ticket.settle(outcome)
        self._progress.set()
        self._batches.took(inferred.batch[0].backbone_pass, self._clock.monotonic() - inferred.started_at)
        self._log_batch(inferred, judged.inference_ms)

    def _log_batch(self, inferred: Inferred, inference_ms: float) -> None:
        log.info(
            "batch judged",
            frames=len(inferred.batch),
            lines=sorted({decoded.frame.line for decoded in inferred.batch}),
            verdicts=_verdicts(inferred),
            inference_ms=round(inference_ms, 1),
        )

    def _give_up(self, why: str, *, is_ours: bool) -> None:
        with self._giving_up:
            if not self._given_up:
                self.suspects_frames = is_ours
                self._given_up = why
        self._progress.set()

    def _fail(self, frame: Admitted | Decoded, reason: Reason, error: Exception) -> None:
        """Settle the frame as failed; after the loss of the device leave it open, as the frame may not be the cause.

        If `error` is one of the device, the frame was on it.
        """
        if loses_device(error):
            self._give_up(_lost(error), is_ours=not is_of_shared_gpu(error))
        if not self._given_up:
            invalid = error if isinstance(error, InvalidFrame) else InvalidFrame(reason, _described(error))
            frame.ticket.settle(failure(frame.ticket, invalid, self._clock))
        self._progress.set()


def _lost(error: Exception) -> str:
    return f"the device is lost to this process: {_described(error).splitlines()[0]}"


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _verdicts(inferred: Inferred) -> dict[str, int]:
    return Counter(
        decoded.ticket.outcome.inspection.verdict.value for decoded in inferred.batch if decoded.ticket.outcome
    )
