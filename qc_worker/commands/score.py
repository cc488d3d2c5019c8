"""`qc-worker score`: judge image files without a broker, by the same code from decoding on."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from qc_worker.commands.heatmap_folder import HeatmapFolder
from qc_worker.commands.reports import (
    FileInspection,
    file_inspection_document,
    print_file_inspections,
    with_progress,
)
from qc_worker.domain import names
from qc_worker.domain.errors import InvalidFrame, SettingsError
from qc_worker.domain.frame import Frame, Position, Record
from qc_worker.domain.inspection import Verdict
from qc_worker.engine.decoding import decode
from qc_worker.engine.in_flight import Ticket
from qc_worker.engine.inference import ModelRunner
from qc_worker.engine.intake import Admitted, failure
from qc_worker.engine.judge import Judge
from qc_worker.engine.residents import Resident
from qc_worker.imaging.image_files import image_files
from qc_worker.observability.printing import print_json
from qc_worker.runtime.clock import SystemClock
from qc_worker.settings import Settings
from qc_worker.wiring.models import backbone_pool, load_resident, model_loader
from qc_worker.wiring.shared import image_limits

CAMERA = names.camera_name("files")
TOPIC = "files"


def score_files(
    settings: Settings,
    *,
    line: str,
    version: str | None,
    images: list[Path],
    heatmap_dir: Path | None,
    as_json: bool,
) -> int:
    """Judge files and print their inspections; return 1 if a file could not be judged, else 0. Raises QcError."""
    paths = expand(images)
    backbones = backbone_pool(settings, warmup_sizes=(1,))
    resident = load_resident(settings, model_loader(settings, backbones), line, version)
    runner = ModelRunner(backbones, SystemClock())
    judge = FileJudge(resident, runner, settings=settings, heatmaps=HeatmapFolder(heatmap_dir, paths))
    judged = [judge.judge(path, number) for number, path in with_progress(list(enumerate(paths)), "judging")]
    if as_json:
        files = [file_inspection_document(one) for one in judged]
        print_json({"line": resident.line, "model_version": resident.version, "files": files})
    else:
        print_file_inspections(judged)
    return int(any(one.inspection.verdict is Verdict.ERROR for one in judged))


def expand(paths: Iterable[Path]) -> list[Path]:
    """List the files given, and for a folder the images in and below it. Raises SettingsError."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise SettingsError(f"{path}: no such file or folder")
        found += image_files(path) if path.is_dir() else [path]
    if not found:
        raise SettingsError("no image files found: name files or folders with images")
    return found


class FileJudge:
    """Judges files one by one with one resident model; the inspection's position counts the files."""

    def __init__(self, resident: Resident, runner: ModelRunner, *, settings: Settings, heatmaps: HeatmapFolder):
        self._resident = resident
        self._runner = runner
        self._clock = SystemClock()
        self._judge = Judge(heatmaps, self._clock, heatmap_pass_share=1.0)
        self._limits = image_limits(settings)

    def judge(self, path: Path, number: int) -> FileInspection:
        """Judge one file; a file that is not an image gets the verdict `error`. Raises SettingsError if unreadable."""
        ticket = Ticket(_record(path, number), self._clock.monotonic())
        try:
            decoded = decode(self._admitted(ticket), self._limits, self._clock)
        except InvalidFrame as error:
            return FileInspection(path, failure(ticket, error, self._clock).inspection)
        (outcome,) = self._judge.judge(self._runner.infer([decoded])).outcomes
        return FileInspection(path, outcome.inspection)

    def _admitted(self, ticket: Ticket) -> Admitted:
        record = ticket.record
        frame = Frame(
            position=record.position,
            line=names.line_name(self._resident.line),
            camera=CAMERA,
            frame_id=names.frame_id(str(record.position)),
            captured_at=record.appended_at,
            content=record.content,
        )
        return Admitted(ticket, frame, self._resident)


def _record(path: Path, number: int) -> Record:
    try:
        content = path.read_bytes()
        modified_s = path.stat().st_mtime
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    return Record(Position(TOPIC, 0, number), None, content, (), _time(modified_s))


def _time(modified_s: float) -> datetime:
    """Convert a file's time; 1970 if the file system states one that no calendar has."""
    try:
        return datetime.fromtimestamp(modified_s, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)
