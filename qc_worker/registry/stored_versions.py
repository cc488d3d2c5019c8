"""Look at stored versions and choose the live one, for many people at once.

The store may be away when this process starts, and slow later: it is opened when it is first needed, and few threads
wait for it at a time. Cards never change, so each is read once.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock

from qc_worker.domain.errors import ReleaseRefused, SettingsError, StoreAway, TransportError
from qc_worker.domain.release import Release, Seen
from qc_worker.domain.version import VersionCard
from qc_worker.ports.clock import Clock
from qc_worker.ports.models import ModelStore, ReleaseLog
from qc_worker.registry.release_lock import HELD
from qc_worker.registry.releasing import Releaser
from qc_worker.registry.version_cards import read_version_card

MAX_WAITING = 4
PATIENCE_S = 5.0
MAX_CARDS = 500


class StoredVersions:
    """Versions of the model store; threads may share it."""

    def __init__(self, open_store: Callable[[], ModelStore], releases: ReleaseLog, clock: Clock) -> None:
        self._open_store = open_store
        self._releases = releases
        self._clock = clock
        self._opened: ModelStore | None = None
        self._cards: OrderedDict[tuple[str, str], VersionCard] = OrderedDict()
        self._lock = Lock()
        self._places = BoundedSemaphore(MAX_WAITING)
        self._announcing = Lock()

    def stored(self, line: str) -> list[str]:
        with self._store() as store:
            return store.versions(line)

    def history(self, line: str) -> list[Release]:
        with self._store() as store:
            return store.releases(line)

    def card(self, line: str, version: str) -> VersionCard:
        with self._lock:
            known = self._cards.get((line, version))
        if known is not None:
            return known
        with self._store() as store:
            card = read_version_card(store, line, version)
        with self._lock:
            self._cards[line, version] = card
            while len(self._cards) > MAX_CARDS:
                self._cards.popitem(last=False)
        return card

    def promote(self, line: str, version: str, *, seen: Seen | None = None) -> Release:
        with self._releaser() as releaser:
            return releaser.promote(line, version, seen=seen)

    def rollback(self, line: str, *, to: str | None = None, seen: Seen | None = None) -> Release:
        with self._releaser() as releaser:
            return releaser.rollback(line, to=to, seen=seen)

    @contextmanager
    def _releaser(self) -> Iterator[Releaser]:
        if not self._announcing.acquire(timeout=PATIENCE_S):
            raise ReleaseRefused(HELD)
        try:
            with self._store() as store:
                yield Releaser(store, self._releases, self._clock)
        finally:
            self._announcing.release()

    @contextmanager
    def _store(self) -> Iterator[ModelStore]:
        if not self._places.acquire(timeout=PATIENCE_S):
            raise StoreAway("the model store is slow: others wait for it too")
        try:
            if self._opened is None:
                self._opened = self._open()
            yield self._opened
        finally:
            self._places.release()

    def _open(self) -> ModelStore:
        try:
            return self._open_store()
        except (SettingsError, TransportError) as error:
            raise StoreAway(str(error)) from error
