import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from qc_worker.engine.inference import BackbonePool, Computing
from qc_worker.runtime.compile_lock import compiling_alone
from qc_worker.simplenet.inference.scorer import Scorer
from tests.support import factories


def test_workers_that_start_at_once_compile_one_after_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    others_ask, events = threading.Event(), list[str]()

    @contextmanager
    def asking() -> Iterator[None]:
        others_ask.set()
        with compiling_alone(tmp_path):
            yield

    def compile_slowly(_: Scorer, max_batch_size: int) -> None:
        events.append("begins")
        if len(events) == 1:
            second.start()
            assert others_ask.wait(20)
        events.append("ends")

    def worker(compiling: object) -> None:
        computing = Computing(torch.device("cpu"), compiled=True, compiling=compiling)  # type: ignore[arg-type]
        BackbonePool(lambda _: factories.backbone(), computing).scorer(factories.embedding_spec())

    monkeypatch.setattr(Scorer, "compile", compile_slowly)
    second = threading.Thread(target=worker, args=(asking,))
    worker(lambda: compiling_alone(tmp_path))
    second.join(20)
    assert events == ["begins", "ends", "begins", "ends"]


@pytest.mark.parametrize("error", [PermissionError("another user's"), NotImplementedError("no locks here")])
def test_without_a_lock_it_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    compiled = False
    with compiling_alone(tmp_path):
        compiled = True
    assert compiled
