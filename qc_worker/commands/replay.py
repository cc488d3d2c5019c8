"""`qc-worker replay`: judge a recorded frame again with the worker's own pipeline, and compare."""

from contextlib import closing
from pathlib import Path

import numpy as np

from qc_worker.audit.recorded import recorded_inspection
from qc_worker.commands.kept_frame import kept_frame
from qc_worker.commands.replay_report import Replay, print_replay, replay_document
from qc_worker.commands.reports import TerminalProgress, waiting
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
from qc_worker.simplenet.inference.precision import multiplies_float16
from qc_worker.transport.kafka.books import KafkaBooks
from qc_worker.transport.kafka.frame_reader import KafkaFrameReader
from qc_worker.wire.images import claimed_line
from qc_worker.wiring.brokers import kafka_access
from qc_worker.wiring.capacity import worker_capacity
from qc_worker.wiring.models import backbone_pool, load_resident, model_loader, worker_pipeline
from qc_worker.wiring.shared import compute_device

WITHOUT_MODEL = (Reason.UNKNOWN_LINE, Reason.BAD_HEADERS)
"""Reasons for which a frame fails before a model is looked up."""
PROGRESS_WAIT_S = 0.1
CLOSE_TIMEOUT_S = 5.0


def replay_frame(
    settings: Settings,
    *,
    position: str,
    version: str | None,
    kept: tuple[Path | None, Path | None] = (None, None),
    as_json: bool,
) -> int:
    """Judge the frame again and print both; return 1 if they differ and no other version was given. Raises QcError.

    `kept`: the files with the frame and its inspection, of a frame that has left its topic.
    """
    recorded: Inspection | None
    if kept == (None, None):
        record = recorded_frame(settings, _parsed(position))
        with closing(KafkaBooks(kafka_access(settings))) as books:
            recorded = recorded_inspection(books, settings.results_topic, record, progress=TerminalProgress())
    else:
        record, recorded = kept_frame(_parsed(position), *kept)
    if recorded is None and version is None:
        raise SettingsError(
            f"{record.position} has no inspection on {settings.results_topic}: it was not judged yet, or retention "
            "removed its inspection; choose a model with --version"
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
        raise SettingsError(f"{position} holds no frame: retention removed it, or there never was one")
    return record


def in_recorded_format(settings: Settings, recorded: Inspection | None) -> Settings:
    """Return settings with the number format of the inspection, unless the user chose one."""
    if recorded is None or settings.precision != "auto":
        return settings
    in_float16 = recorded.precision == "float16" and multiplies_float16(compute_device(settings))
    if recorded.precision == "float32" or in_float16:
        return settings.model_copy(update={"precision": recorded.precision})
    return settings  # `auto` is bfloat16 where the machine can compute in it; if not, the report says so


def judge_again(settings: Settings, record: Record, recorded: Inspection | None, version: str | None) -> Inspection:
    """Judge with the version given, else with the recorded one. Raises ModelError if the store does not have it."""
    clock, residents = SystemClock(), ResidentModels()
    # Compiled as the worker's: a plain backbone rounds elsewhere, and a score beside its threshold would change sides.
    backbones = backbone_pool(
        settings, warmup_sizes=(1, worker_capacity(settings).max_batch_size), compiled=settings.compile
    )
    with waiting("preparing the model as the worker does; the first time takes half a minute"):
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
    """Keeps no heatmap: that of the recorded inspection stays the only one."""

    def offer(self, decoded: Decoded, anomaly_map: np.ndarray) -> str | None:  # noqa: ARG002  (HeatmapDesk's)
        return None


def _resident(
    settings: Settings, loader: ModelLoader, line: str, recorded: Inspection | None, version: str | None
) -> Resident | None:
    """Load the model that judged; None if the frame failed before a model was looked up."""
    version = version or (recorded.model_version if recorded else None)
    if version is None and recorded is not None:
        if recorded.reason in WITHOUT_MODEL:
            return None
        if recorded.reason is Reason.CRASHED_WORKERS:
            raise SettingsError(f"{recorded.detail}: replay could crash as well; to judge it anyway, give --version")
        # An `error` names no model: take the release that was live at that time.
        released = [r.version for r in loader.history(line) if r.released_at <= recorded.scored_at]
        version = released[-1] if released else None
    return load_resident(settings, loader, line, version)


def _outcome(pipeline: Pipeline, admitted: Admitted) -> Inspection:
    pipeline.start()
    try:
        pipeline.submit(admitted)
        while admitted.ticket.outcome is None:
            pipeline.wait_for_progress(PROGRESS_WAIT_S)
        return admitted.ticket.outcome.inspection
    finally:
        pipeline.close(CLOSE_TIMEOUT_S)


def _parsed(position: str) -> Position:
    try:
        return Position.parse(position)
    except ValueError as error:
        raise SettingsError(str(error)) from None
