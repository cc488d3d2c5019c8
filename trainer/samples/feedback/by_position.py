"""Find the sample that was made of a frame, by the frame's position."""

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.names import LineName
from trainer.samples.store import SampleStore


class SamplesByPosition:
    """Ids of samples by line and position; reads a line's cards when it is first asked for one."""

    def __init__(self, store: SampleStore) -> None:
        self._store = store
        self._ids: dict[LineName, dict[Position, str]] = {}

    def find(self, line: LineName, position: Position, frame_id: str) -> str | None:
        """Return the id of the sample; None if there is none, or if it was another frame."""
        if line not in self._ids:
            self._ids[line] = self._read(line)
        sample = self._ids[line].get(position)
        card = self._store.find(line, sample) if sample else None
        origins = card.origins if card else ()
        return sample if any((each.position, each.frame_id) == (position, frame_id) for each in origins) else None

    def note(self, line: LineName, position: Position, sample: str) -> None:
        """Add a sample that was stored now; before the line's cards are read there is nothing to add it to."""
        if line in self._ids:
            self._ids[line][position] = sample

    def _read(self, line: LineName) -> dict[Position, str]:
        found = {}
        for judgement in Judgement:
            for sample in self._store.ids(line, judgement):
                try:
                    origins = self._store.card(line, judgement, sample).origins
                except TrainingError:  # a damaged card tells no position
                    continue
                found.update({origin.position: sample for origin in origins if origin.position is not None})
        return found
