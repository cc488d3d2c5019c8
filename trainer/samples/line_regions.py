"""Store a line's ignored area, and bring it to a model's input size.

The file is `<folder>/<line>/regions.png`: white pixels are ignored; its resolution is that of the drawing. Without the
file, the whole picture is judged. The next retrain resizes it to the model's input and stores it in the card.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from qc_worker.domain.errors import InvalidFrame, TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName
from qc_worker.files import write_atomically
from qc_worker.imaging.defects import encode_mask
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import Picture, content_box, decode_picture
from qc_worker.imaging.run_lengths import MAX_CHARACTERS
from qc_worker.simplenet.regions import Ignored
from qc_worker.simplenet.spec import EmbeddingSpec
from trainer.samples.line_bit_depth import depth_of
from trainer.samples.region_files import Marked, as_png, marked_in
from trainer.samples.store import SampleStore

FILE = "regions.png"
SHOWN_SIZE = (768, 768)
HALF = 128
ASPECT_TOLERANCE = 0.01


def write_ignored(folder: Path, line: LineName, ignored: Marked) -> None:
    """Store a line's ignored area; remove the file if nothing is ignored. Raises TrainingError, OSError."""
    if ignored.all():
        raise TrainingError("the whole picture would be ignored: nothing would be left to judge")
    if ignored.any():
        write_atomically(folder / line / FILE, as_png(ignored))
    else:
        remove_ignored(folder, line)


def remove_ignored(folder: Path, line: LineName) -> None:
    """Remove a line's ignored area, so that the whole picture is judged again. Raises OSError."""
    (folder / line / FILE).unlink(missing_ok=True)


def read_ignored(folder: Path, line: LineName, limits: ImageLimits) -> Marked | None:
    """Read a line's ignored area; None if the whole picture is judged. Raises TrainingError, OSError."""
    path = folder / line / FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return marked_in(content, limits)
    except ValueError as error:
        raise TrainingError(f"{path}: {error}; set it again with qc-trainer regions --line {line}") from None


def check_aspect(ignored: Marked, image_size: tuple[int, int]) -> None:
    """Raise TrainingError if the aspect ratios differ by more than rounding; sizes are (height, width)."""
    height, width = ignored.shape
    wanted = height * image_size[1] / image_size[0]
    if abs(wanted - width) > max(1, ASPECT_TOLERANCE * width):
        raise TrainingError(
            f"regions of {height} x {width} pixels (height x width) do not fit pictures of "
            f"{image_size[0]} x {image_size[1]}: draw them on a picture of the line's camera"
        )


def good_picture(samples: SampleStore, line: LineName, limits: ImageLimits) -> Picture:
    """Decode one good sample of the line, padded to SHOWN_SIZE. Raises TrainingError, OSError."""
    ids = samples.ids(line, Judgement.GOOD)
    if not ids:
        raise TrainingError(f"line {line} has no good sample: qc-trainer import --line {line} --good FOLDER")
    content = samples.read(line, Judgement.GOOD, ids[0])
    try:
        depth = depth_of(content, limits)
        return decode_picture(content, input_size=SHOWN_SIZE, aspect="pad", limits=limits, bit_depth=depth)
    except InvalidFrame as error:
        raise TrainingError(f"sample {ids[0]} of line {line}: {error.detail}") from None


def ignored_by(samples: SampleStore, line: LineName, spec: EmbeddingSpec, limits: ImageLimits) -> Ignored | None:
    """Return the ignored area at the model's input size; None if nothing is ignored. Raises TrainingError, OSError."""
    ignored = read_ignored(samples.folder, line, limits)
    if ignored is None:
        return None
    check_aspect(ignored, good_picture(samples, line, limits).image_size)
    return at_input_size(ignored, spec)


def at_input_size(ignored: Marked, spec: EmbeddingSpec) -> Ignored | None:
    """Map the ignored area to the model's input, (H, W); None if it covers less than half of every pixel.

    An input pixel is ignored if at least half of it is. Raises TrainingError if nothing is left to judge.
    """
    box = content_box((ignored.shape[0], ignored.shape[1]), spec.input_size, spec.aspect)
    marked = Image.fromarray(ignored.astype(np.uint8) * 255)
    inner = np.asarray(marked.resize((box.width, box.height), Image.Resampling.BOX)) >= HALF
    if inner.all():
        raise TrainingError("the line's regions leave nothing to judge: change them with qc-trainer regions")
    placed = np.zeros(spec.input_size, dtype=bool)
    placed[box.top : box.top + box.height, box.left : box.left + box.width] = inner
    if len(encode_mask(placed).counts) > MAX_CHARACTERS:
        raise TrainingError("the line's regions are too detailed to be stored: draw them with simpler outlines")
    return placed if placed.any() else None
