"""`regions`: set, clear or show the part of a line's pictures that is ignored."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName
from qc_worker.imaging.hatching import at_size, hatched
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import Picture, content_box
from qc_worker.observability.printing import print_json
from qc_worker.settings import Settings
from qc_worker.wiring.shared import image_limits
from trainer.commands.documents import print_facts
from trainer.disk import disk_errors, write_readable
from trainer.samples.line_regions import (
    SHOWN_SIZE,
    check_aspect,
    good_picture,
    read_ignored,
    remove_ignored,
    write_ignored,
)
from trainer.samples.region_files import Marked, marked_in
from trainer.samples.store import SampleStore
from trainer.wiring import checked_line, sample_store

TAKES_EFFECT = "with the next retrain"


@dataclass(frozen=True, slots=True)
class RegionFlags:
    """The command's own flags; None if a flag is not given."""

    line: str
    ignore: Path | None
    only: Path | None
    clear: bool
    show: Path | None


def set_regions(settings: Settings, flags: RegionFlags, *, as_json: bool) -> None:
    """Set or clear a line's ignored area if asked to, and print the current one. Raises QcError."""
    name, limits, store = checked_line(flags.line), image_limits(settings), sample_store(settings)
    if flags.clear and (flags.ignore or flags.only):
        raise SettingsError("--clear removes the ignored area: give it without --ignore and --only")
    with disk_errors():
        if flags.clear:
            remove_ignored(store.folder, name)
        elif flags.ignore or flags.only:
            _set(store, name, _ignored(flags, limits), limits)
        ignored = read_ignored(store.folder, name, limits)
        if flags.show:
            _show(flags.show, good_picture(store, name, limits), ignored)
    _print(name, flags, ignored, as_json=as_json)


def _ignored(flags: RegionFlags, limits: ImageLimits) -> Marked:
    """Combine what --ignore marks with what --only leaves out. Raises SettingsError."""
    parts = []
    if flags.ignore:
        parts.append(_marked("--ignore", flags.ignore, limits))
    if flags.only:
        parts.append(~_marked("--only", flags.only, limits))
    if len({part.shape for part in parts}) > 1:
        raise SettingsError("--ignore and --only have different sizes: draw both on the same picture")
    ignored: Marked = np.logical_or.reduce(parts)
    return ignored


def _marked(flag: str, path: Path, limits: ImageLimits) -> Marked:
    try:
        with path.open("rb") as file:
            content = file.read(limits.max_bytes + 1)  # one byte over the limit is enough to refuse the file
        return marked_in(content, limits)
    except OSError as error:
        raise SettingsError(f"{flag} {path}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{flag} {path}: {error}") from None


def _set(store: SampleStore, line: LineName, ignored: Marked, limits: ImageLimits) -> None:
    if store.ids(line, Judgement.GOOD):
        check_aspect(ignored, good_picture(store, line, limits).image_size)
    write_ignored(store.folder, line, ignored)


def _show(path: Path, picture: Picture, ignored: Marked | None) -> None:
    box = content_box(picture.image_size, SHOWN_SIZE, "pad")
    whole = Image.fromarray(picture.pixels.permute(1, 2, 0).contiguous().numpy())
    image = whole.crop((box.left, box.top, box.left + box.width, box.top + box.height))
    if ignored is not None:
        image = hatched(image, at_size(ignored, image.size))
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    write_readable(path, encoded.getvalue())


def _print(line: LineName, flags: RegionFlags, ignored: Marked | None, *, as_json: bool) -> None:
    changed = bool(flags.clear or flags.ignore or flags.only)
    document: dict[str, object] = {
        "line": line,
        "size": None if ignored is None else ignored.shape,
        "ignored_share": 0.0 if ignored is None else float(ignored.mean()),
        "takes_effect": TAKES_EFFECT if changed else None,
        "shown": str(flags.show) if flags.show else None,
    }
    if as_json:
        print_json(document)
        return
    size = "the whole picture is judged" if ignored is None else f"{ignored.shape[0]} x {ignored.shape[1]}"
    facts: dict[str, object] = {"regions": size, "ignored": f"{document['ignored_share']:.1%} of the picture"}
    facts |= {name: fact for name, fact in document.items() if name in ("takes_effect", "shown") and fact}
    print_facts(f"line {line}", facts)
