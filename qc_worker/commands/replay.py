"""`qc-worker replay`: judge a recorded frame again, by the worker's own pipeline, beside what was published."""

from contextlib import closing

import numpy as np

from qc_worker.commands.account import CLOCK_SLACK
from qc_worker.commands.replay_report import Replay, print_replay, replay_document
from qc_worker.commands.reports import waiting, with_progress
from qc_worker.commands.score import load_version
from qc_worker.domain.errors import InvalidFrame, Reason, SettingsError
from qc_worker.domain.frame import Position, Record
from qc_worker.domain.inspection import Inspection
from qc_worker.engine.decoding import Decoded
from qc_worker.engine.in_flight import Ticket
from qc_worker.engine.intake import Admitted, admit, failure
from qc_worker.engine.model_loader import ModelLoader
from qc_worker.engine.pipeline import Pipeline
from qc_worker.engine.residents import Resident, ResidentModels
from qc_worker.observability.printing import print_json
from qc_worker.runtime.clock import SystemClock
from qc_worker.settings import Settings
from qc_worker.transport.kafka.books import KafkaBooks
from qc_worker.transport.kafka.frame_reader import KafkaFrameReader
from qc_worker.wire.images import claimed_line
from qc_worker.wire.json_types import decode_inspection
from qc_worker.wiring.models import backbone_pool, model_loader, worker_pipeline
from qc_worker.wiring.shared import kafka_access, keep_compiled_kernels

WITHOUT_MODEL = (Reason.UNKNOWN_LINE, Reason.BAD_HEADERS)
"""What a frame fails by before any model is asked."""
PROGRESS_WAIT_S = 0.1
CLOSE_TIMEOUT_S = 5.0


def replay(settings: Settings, *, position: str, version: str | None, as_json: bool) -> int:
    """Judge the frame again and print both; 1 if they differ and no other version was asked for. Raises QcError."""
    record = recorded_frame(settings, _parsed(position))
    recorded = recorded_inspection(settings, record)
    if recorded is None and version is None:
        raise SettingsError(
            f"{record.position} has no inspection on {settings.results_topic}: not judged yet, or removed by "
            "retention; name a model version to judge it with"
        )
    replayed = judge_again(in_recorded_format(settings, recorded), record, recorded, version)
    compared = Replay(recorded, replayed, settings.precision, other_version=version is not None)
    if as_json:
        print_json(replay_document(compared))
    else:
        print_replay(compared)
    return int(compared.same is False)


def recorded_frame(settings: Settings, position: Position) -> Record:
    """Read the frame back. Raises SettingsError if it is not there."""
    with closing(KafkaFrameReader(kafka_access(settings))) as reader:
        record = reader.read(position)
    if record is None:
        raise SettingsError(f"{position} holds no frame: removed by retention, or there never was one")
    return record


def recorded_inspection(settings: Settings, record: Record) -> Inspection | None:
    """The first inspection of the frame, which is the one that counts; None if there is none (any more)."""
    with closing(KafkaBooks(kafka_access(settings))) as books:
        published = _inspection_record(books, settings.results_topic, record)
        if published is None:
            # A transaction that is still open may have hidden it.
            with waiting(f"waiting for open transactions on {settings.results_topic}"):
                books.await_readable(settings.results_topic)
            published = _inspection_record(books, settings.results_topic, record)
    return None if published is None else _decoded(published)


def in_recorded_format(settings: Settings, recorded: Inspection | None) -> Settings:
    """Settings by which the number format is that of the inspection, unless the user chose one."""
    if recorded is None or recorded.precision != "float32" or settings.precision != "auto":
        return settings  # `auto` is bfloat16 wherever it can be had, and else the report says so
    return settings.model_copy(update={"precision": "float32"})


def judge_again(settings: Settings, record: Record, recorded: Inspection | None, version: str | None) -> Inspection:
    """Judge by the version given, else by the recorded one. Raises ModelError if the store does not have it."""
    clock, residents = SystemClock(), ResidentModels()
    # Compiled as the worker's: a plain backbone rounds elsewhere, and a score beside its threshold would change sides.
    keep_compiled_kernels(settings)
    backbones = backbone_pool(settings, warmup_sizes=(1, settings.max_batch_size), compiled=settings.compile)
    with waiting("making the model ready as the worker does; half a minute the first time"):
        resident = _resident(settings, model_loader(settings, backbones), claimed_line(record), recorded, version)
    if resident is not None:
        residents.swap(resident)
    ticket = Ticket(record, clock.monotonic())
    try:
        admitted = admit(ticket, residents)
    except InvalidFrame as error:
        return failure(ticket, error, clock).inspection
    return _outcome(worker_pipeline(settings, backbones, NoHeatmaps(), clock), admitted)


class NoHeatmaps:
    """The heatmap of the recorded inspection stays the only one."""

    def offer(self, decoded: Decoded, anomaly_map: np.ndarray) -> str | None:  # noqa: ARG002  (HeatmapDesk's)
        return None


def _inspection_record(books: KafkaBooks, topic: str, frame: Record) -> Record | None:
    wanted = ("ce_id", str(frame.position).encode())
    starts, ends = books.at(topic, frame.appended_at - CLOCK_SLACK), books.ends(topic)
    total = sum(ends[partition] - start for partition, start in starts.items())
    for published in with_progress(books.read(starts), f"looking through {topic}", total=total):
        if wanted in published.headers:
            return published
    return None


def _resident(
    settings: Settings, loader: ModelLoader, line: str, recorded: Inspection | None, version: str | None
) -> Resident | None:
    """The model that judged; None if the frame failed before one was asked."""
    version = version or (recorded.model_version if recorded else None)
    if version is None and recorded is not None:
        if recorded.reason in WITHOUT_MODEL:
            return None
        if recorded.reason is Reason.CRASHED_WORKERS:
            raise SettingsError(f"{recorded.detail}, and so would replay; --version V judges it all the same")
        # An `error` names no model. The release live at that time is as near as one can come.
        released = [r.version for r in loader.history(line) if r.released_at <= recorded.scored_at]
        version = released[-1] if released else None
    return load_version(settings, loader, line, version)


def _outcome(pipeline: Pipeline, admitted: Admitted) -> Inspection:
    pipeline.start()
    try:
        pipeline.submit(admitted)
        while admitted.ticket.outcome is None:
            pipeline.wait_for_progress(PROGRESS_WAIT_S)
        return admitted.ticket.outcome.inspection
    finally:
        pipeline.close(CLOSE_TIMEOUT_S)


def _decoded(published: Record) -> Inspection:
    try:
        return decode_inspection(published.content)
    except ValueError as error:
        raise SettingsError(f"the inspection at {published.position} is unreadable: {error}") from None


def _parsed(position: str) -> Position:
    try:
        return Position.parse(position)
    except ValueError as error:
        raise SettingsError(str(error)) from None
