"""`samples`: list a line's samples, show what was said about them, remove and restore them."""

import getpass
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.names import LineName
from qc_worker.observability.printing import print_json
from qc_worker.runtime.clock import SystemClock
from qc_worker.settings import Settings
from trainer.commands.documents import print_facts, print_rows
from trainer.disk import disk_errors
from trainer.interrupts import interrupts_held
from trainer.options import SamplesAction
from trainer.samples.card import SampleCard, Word
from trainer.samples.choosing import Listed, chosen, listed, removal, restoring
from trainer.samples.store import SampleStore
from trainer.wiring import checked_line, sample_store

COLUMNS = ["sample", "judgement", "kind", "by", "when", "source", "version", "name"]
SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class SamplesFlags:
    """The command's own flags."""

    line: str
    action: SamplesAction
    ids: list[str]
    kind: str | None
    by: str | None


def samples_of_line(settings: Settings, flags: SamplesFlags, *, as_json: bool) -> None:
    """List, show, remove or restore a line's samples. Raises QcError."""
    line, store = checked_line(flags.line), sample_store(settings)
    with disk_errors():
        match flags.action:
            case SamplesAction.LIST:
                _list(store, line, flags, as_json=as_json)
            case SamplesAction.SHOW:
                _show(store, line, chosen(store, line, flags.ids), as_json=as_json)
            case SamplesAction.REMOVE:
                _say(store, line, flags, removal, as_json=as_json)
            case SamplesAction.RESTORE:
                _say(store, line, flags, restoring, as_json=as_json)


def _list(store: SampleStore, line: LineName, flags: SamplesFlags, *, as_json: bool) -> None:
    if flags.ids:
        raise SettingsError(f"{flags.ids[0]!r}: only show, remove and restore take ids of samples")
    _print(store, line, listed(store, line, flags.kind), as_json=as_json)


def _show(store: SampleStore, line: LineName, cards: list[SampleCard], *, as_json: bool) -> None:
    documents = [_document(store, line, Listed(card.sha256, card.judgement, card)) | _history(card) for card in cards]
    if as_json:
        print_json({"line": line, "samples": documents})
        return
    for card, document in zip(cards, documents, strict=True):
        facts = {name: fact for name, fact in document.items() if name not in ("origins", "words")}
        print_facts(f"line {line}, sample {card.sha256}", facts)
        print_rows("", ["judgement", "kind", "by", "when", "source", "version"], list(map(_word_row, card.history)))


def _say(
    store: SampleStore, line: LineName, flags: SamplesFlags, word_on: Callable[..., Word], *, as_json: bool
) -> None:
    by, now = flags.by or _user(), SystemClock().now()
    cards = chosen(store, line, flags.ids)
    # All words are made before any is stored, so that a sample that is refused leaves the others as they are.
    words = [word_on(card, by=by, at=now) for card in cards]
    with interrupts_held():
        for card, word in zip(cards, words, strict=True):
            store.judge(line, card.sha256, word)
    after = chosen(store, line, [card.sha256 for card in cards])
    _print(store, line, [Listed(card.sha256, card.judgement, card) for card in after], as_json=as_json)


def _print(store: SampleStore, line: LineName, samples: list[Listed], *, as_json: bool) -> None:
    if as_json:
        print_json({"line": line, "samples": [_document(store, line, each) for each in samples]})
    else:
        print_rows(f"line {line}", COLUMNS, list(map(_row, samples)), copied=(0, COLUMNS.index("source")))


def _document(store: SampleStore, line: LineName, each: Listed) -> dict[str, object]:
    card = each.card
    document: dict[str, object] = {"sample": each.sample, "judgement": each.judgement.value}
    document["path"] = str(store.path(line, each.judgement, each.sample))
    if card is None or card.last is None:
        return document | {"readable": False}
    last, origin = card.last, card.origins[0]
    return document | {
        "readable": True,
        "kind": last.kind,
        "by": last.by,
        "at": last.at.isoformat(),
        "source": _position(card),
        "model_version": last.model_version,
        "name": origin.imported or origin.frame_id,
        "part": origin.part,
        "mask": _mask(store, line, card),
    }


def _history(card: SampleCard) -> dict[str, object]:
    document = card.model_dump(mode="json", include={"origins"}, exclude_none=True)
    return document | {"words": [word.model_dump(mode="json", exclude_none=True) for word in card.history]}


def _mask(store: SampleStore, line: LineName, card: SampleCard) -> str | None:
    """Return `exact`, or `coarse` if it was made of boxes; None without a mask."""
    if not store.mask_path(line, card.sha256, card.judgement).is_file():
        return None
    return "coarse" if card.coarse_mask else "exact"


def _row(each: Listed) -> list[object]:
    card = each.card
    if card is None or card.last is None:
        return [each.sample[:SHOWN_DIGITS], f"{each.judgement} (cannot be read)", *[None] * 6]
    last, origin = card.last, card.origins[0]
    name = origin.imported or origin.part or origin.frame_id
    return [
        each.sample[:SHOWN_DIGITS],
        each.judgement.value,
        last.kind,
        last.by,
        _time(last.at),
        _position(card),
        last.model_version,
        name,
    ]


def _word_row(word: Word) -> list[object]:
    source = str(word.source) if word.source else None
    return [word.judgement.value, word.kind, word.by, _time(word.at), source, word.model_version]


def _position(card: SampleCard) -> str | None:
    """Return the position of the frame that the last word names, else of the first frame with these bytes."""
    said = card.last.source if card.last else None
    position = said or next((origin.position for origin in card.origins if origin.position), None)
    return str(position) if position else None


def _time(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="seconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "qc-trainer samples"
