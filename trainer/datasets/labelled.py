"""Values for labelled images and the data sets that contain them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qc_worker.domain.names import readable
from trainer.datasets.mask_files import Files

GOOD = "good"


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image file, its kind (`good` or a defect's name), and the files of its mask if there are any."""

    path: Path
    kind: str
    masks: Files = ()

    @property
    def name(self) -> str:
        """Kind and file name, as below the folder `test`."""
        return readable(f"{self.kind}/{self.path.name}")


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images of one kind from one folder."""

    root: Path
    """Origins are relative to it."""
    kind: str
    files: Files
    masks: Mapping[Path, Files] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        return self.kind == GOOD

    def images(self) -> list[LabelledImage]:
        return [LabelledImage(path, self.kind, self.masks.get(path, ())) for path in self.files]


@dataclass(frozen=True, slots=True)
class DataSet:
    """One product of a labelled data set."""

    folder: Path
    layout: str
    """Name of the layout and of its split into training and test, for people."""
    training: tuple[Labelled, ...]
    test: tuple[Labelled, ...]
    left_out: Mapping[str, Files] = field(default_factory=dict)
    """Files that were found but left out, by reason."""
    unused_masks: Files = ()


def merged(*by_reason: Mapping[str, Files]) -> dict[str, Files]:
    """Merge files left out, by reason."""
    reasons = sorted({reason for each in by_reason for reason in each})
    return {reason: tuple(path for each in by_reason for path in each.get(reason, ())) for reason in reasons}
