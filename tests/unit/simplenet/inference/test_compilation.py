import shutil
import threading
from itertools import product
from pathlib import Path

import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed

from qc_worker.imaging.aspect import InputSize
from qc_worker.simplenet.backbones.backbone import load_backbone
from qc_worker.simplenet.inference.compilation import MAX_FAILURE, compiled, failure
from qc_worker.simplenet.patch_features import AggregatedLevels
from qc_worker.simplenet.spec import BackbonePass
from tests.unit.simplenet.factories import an_embedding_spec, random_weights

SIDE = 64
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> AggregatedLevels:
    file = random_weights(tmp_path_factory.mktemp("weights"))
    backbone = load_backbone("efficientnet_lite0", levels=(4,), weights_dir=Path(), file=file)
    return AggregatedLevels(backbone, a_pass((SIDE, SIDE))).eval()


def a_pass(input_size: InputSize, tiles: int = 1) -> BackbonePass:
    return an_embedding_spec(levels=(4,), input_size=input_size, tiles=tiles).backbone_pass


def some_pixels(count: int, input_size: InputSize = (SIDE, SIDE)) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, *input_size, 3), dtype=torch.uint8, generator=random).permute(0, 3, 1, 2)


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_tiles_are_compiled_once_for_any_number_of_frames(levels: AggregatedLevels) -> None:
    size = (128, 256)
    tiled = AggregatedLevels(levels.backbone, a_pass(size, tiles=3)).eval()
    compute = compiled(tiled, input_size=size, max_batch_size=4, device=CPU)
    assert compute is not tiled
    with torch.no_grad(), torch._dynamo.config.patch(error_on_recompile=True):
        for count in (1, 2, 3):  # 3, 6 and 9 tiles, so that one is left over now and then
            pixels = some_pixels(count, size)
            torch.testing.assert_close(compute(pixels), tiled(pixels), rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_no_batch_size_is_ever_compiled_in_service(levels: AggregatedLevels) -> None:
    sizes: list[InputSize] = [(SIDE, SIDE), (SIDE, SIDE + 32)]
    computes = [compiled(levels, input_size=size, max_batch_size=20, device=CPU) for size in sizes]
    assert levels not in computes
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            with torch.no_grad(), torch._dynamo.config.patch(error_on_recompile=True):
                for count, (compute, size) in product((8, 1, 2, 3, 7, 32, 1), zip(computes, sizes, strict=True)):
                    pixels = some_pixels(count, size)
                    torch.testing.assert_close(compute(pixels), levels(pixels), rtol=1e-3, atol=1e-3)
        except BaseException as error:  # noqa: BLE001  (shown by the assertion below, from the right thread)
            failed.append(error)

    thread = threading.Thread(target=serve)  # as in the worker: compiled by one thread, used by another
    thread.start()
    thread.join()
    assert not failed


def test_without_a_compiler_the_plain_backbone_serves(
    levels: AggregatedLevels, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    with torch._inductor.config.patch({"cpp.cxx": (str(tmp_path / "no-such-compiler"),), "fx_graph_cache": False}):
        compute = compiled(levels, input_size=(SIDE, SIDE), max_batch_size=2, device=CPU)
    assert compute is levels
    assert all(bool(torch.isfinite(level).all()) for level in compute(some_pixels(2)))


def test_a_batch_too_large_for_the_device_does_not_stop_the_compiling(
    levels: AggregatedLevels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(pixels: torch.Tensor) -> list[torch.Tensor]:
        raise torch.OutOfMemoryError(f"no room for {len(pixels)}")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: no_room)
    with pytest.raises(torch.OutOfMemoryError):  # for the caller to try again with fewer
        compiled(levels, input_size=(SIDE, SIDE), max_batch_size=4, device=CPU)


@pytest.mark.parametrize("error", [torch.AcceleratorError, torch.OutOfMemoryError])
def test_an_error_of_the_device_is_no_missing_compiler(
    levels: AggregatedLevels, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(_: torch.Tensor) -> list[torch.Tensor]:
        try:
            raise error("CUDA error: no kernel image is available for execution on the device")
        except error as cause:
            raise BackendCompilerFailed(compiled, cause, None) from None  # as torch does

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
    with pytest.raises(BackendCompilerFailed):
        compiled(levels, input_size=(SIDE, SIDE), max_batch_size=4, device=CPU)


COMPILER_OUTPUT = """C++ compile error

Command:
g++ -x c++-header /tmp/kernels/header.h -o /tmp/kernels/header.h.gch

Output:
/include/cpp_prefix.h:1527:2: fatal error: {words}
compilation terminated.
"""


def test_a_full_disk_is_called_one_and_not_an_error_of_the_compiler() -> None:
    told = failure(RuntimeError(COMPILER_OUTPUT.format(words="error closing /tmp/cc.s: No space left on device")))
    assert "/tmp/cc.s: No space left on device" in told
    assert "TMPDIR" in told
    assert "No space left" in failure(OSError(28, "No space left on device", "/kernels/a"))


def test_what_the_compiler_says_is_told_in_one_line() -> None:
    told = failure(RuntimeError(COMPILER_OUTPUT.format(words="omp.h: No such file or directory")))
    assert told.endswith("fatal error: omp.h: No such file or directory")
    for error in (RuntimeError(), RuntimeError("x" * 1000), RuntimeError("first\nsecond")):
        assert len(failure(error).splitlines()) == 1
        assert len(failure(error)) <= MAX_FAILURE
