"""A line's own samples as labelled images for a test."""

from collections.abc import Collection

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName
from trainer.datasets.labelled import GOOD, LabelledImage
from trainer.samples.store import SampleStore

UNNAMED = "defect"
"""Kind of the defects whose kind nobody named."""


def labelled_samples(store: SampleStore, line: LineName, seen: Collection[str]) -> list[LabelledImage]:
    """List the good samples that a model has not seen, then the defects by kind. Raises TrainingError without both.

    `seen` are the ids of the good samples that fitted or calibrated it: it judges these better than others.
    """
    good = [sample for sample in store.ids(line, Judgement.GOOD) if sample not in frozenset(seen)]
    defects = [_defect(store, line, sample) for sample in store.ids(line, Judgement.DEFECT)]
    if not defects:
        raise TrainingError(f"line {line} has no samples of defects to test with: judge some, or give --dataset")
    if not good:
        raise TrainingError(
            f"the model was trained on all good samples of line {line}, so they cannot test it: collect feedback on "
            "new frames, or give --dataset"
        )
    images = [LabelledImage(store.path(line, Judgement.GOOD, sample), GOOD) for sample in good]
    return images + sorted(defects, key=lambda image: (image.kind, image.path.name))


def _defect(store: SampleStore, line: LineName, sample: str) -> LabelledImage:
    mask = store.mask_path(line, sample)
    kind = store.card(line, Judgement.DEFECT, sample).kind or UNNAMED
    return LabelledImage(store.path(line, Judgement.DEFECT, sample), kind, (mask,) if mask.is_file() else ())
