"""Read a frame and its inspection from files, for a replay of a frame that has left its topic."""

from pathlib import Path

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.frame import Position, Record
from qc_worker.domain.inspection import Inspection
from qc_worker.wire.headers import write_headers
from qc_worker.wire.json_types import decode_inspection


def kept_frame(position: Position, frame: Path | None, inspection: Path | None) -> tuple[Record, Inspection]:
    """Make the record again, with the names and times that its inspection states. Raises SettingsError.

    Verdict and score depend on line and bytes alone, so that the judgements can be compared.
    """
    if frame is None or inspection is None:
        raise SettingsError("--frame and --inspection go together: give both")
    try:
        recorded = decode_inspection(inspection.read_bytes())
        content = frame.read_bytes()
    except ValueError as error:
        raise SettingsError(f"{inspection}: {error}") from None
    except OSError as error:
        raise SettingsError(f"{error.filename} cannot be read: {error.strerror}") from None
    if recorded.source != position:
        raise SettingsError(f"{inspection} is the inspection of {recorded.source}, not of {position}")
    return Record(
        position, None, content, tuple(_headers(recorded)), recorded.captured_at or recorded.scored_at
    ), recorded


def _headers(recorded: Inspection) -> list[tuple[str, bytes]]:
    captured_at = None if recorded.captured_at is None else recorded.captured_at.isoformat()
    return write_headers(
        [
            ("line", recorded.line),
            ("camera", recorded.camera),
            ("frame-id", recorded.frame_id),
            ("captured-at", captured_at),
            ("part", recorded.part),
        ]
    )
