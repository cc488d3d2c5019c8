"""Make a word of the review from what a browser or a script has sent."""

from qc_dashboard.api.shapes.judgement import GivenJudgement
from qc_dashboard.history.search import StoredInspection
from qc_dashboard.review.wanted import Word, WordRefused
from qc_worker.domain.feedback import MarkedBox


def word_of(given: GivenJudgement, stored: StoredInspection) -> Word:
    """Return the word. Raises WordRefused for a box that does not lie within the image, if its size is known."""
    size = stored.inspection.image_size
    if size is not None:
        height, width = size
        if any(box.x + box.width > width or box.y + box.height > height for box in given.boxes):
            raise WordRefused(f"boxes: the image is {width} x {height} pixels, and a box ends outside of it")
    boxes = tuple(MarkedBox(box.x, box.y, box.width, box.height) for box in given.boxes)
    return Word(given.verdict, given.kind, boxes)
