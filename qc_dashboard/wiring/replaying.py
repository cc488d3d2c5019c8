"""Make what judges frames again."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from qc_dashboard.archive.archive import Archive
from qc_dashboard.history.history import History
from qc_dashboard.replaying.command import KeptFrame, ReplayCommand
from qc_dashboard.replaying.replays import Replays
from qc_dashboard.settings import DashboardSettings
from qc_worker.domain.frame import Position
from qc_worker.ports.frames import FrameReader
from qc_worker.runtime.clock import SystemClock
from qc_worker.transport.kafka.frame_reader import KafkaFrameReader
from qc_worker.wiring.brokers import kafka_access


class ArchivedFrames:
    """Finds frames that have left their topic in the archive."""

    def __init__(self, frames: FrameReader, archive: Archive, history: History) -> None:
        self._frames = frames
        self._archive = archive
        self._history = history

    def __call__(self, source: Position) -> KeptFrame | None:
        evidence = self._archive.evidence(source)
        if evidence is None or self._frames.read(source) is not None:
            return None
        content, stored = self._archive.read(evidence.frame_sha256), self._history.inspection(source)
        return None if content is None or stored is None else KeptFrame(content, stored.inspection)


@contextmanager
def replaying(settings: DashboardSettings, archive: Archive, history: History) -> Iterator[Replays]:
    """Judge frames again until the block ends. Raises SettingsError."""
    given = {  # by the command line; everything else is in the environment or in the settings file
        "QC_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "QC_STATE_DIR": str(settings.state_dir),
    }
    with closing(KafkaFrameReader(kafka_access(settings))) as frames:
        command = ReplayCommand(given, ArchivedFrames(frames, archive, history))
        with closing(Replays(command.run, SystemClock())) as replays:
            replays.start()
            yield replays
