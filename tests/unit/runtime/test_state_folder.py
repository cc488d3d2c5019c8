"""A state folder that cannot be used: one line, the cause, the remedy, exit code 2."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from qc_worker.domain.errors import SettingsError
from qc_worker.observability.exits import USAGE_ERROR, exit_codes
from qc_worker.runtime.state_folder import remedy, usable
from qc_worker.runtime.worker_slot import worker_slot
from qc_worker.settings import load_settings
from qc_worker.wiring.shared import keep_compiled_kernels
from trainer.disk import disk_errors


def a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file"


def below_a_file(folder: Path) -> Path:
    return a_file(folder) / "state"


@pytest.mark.parametrize("place", [a_file, below_a_file])
def test_what_is_no_folder_is_refused(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    with pytest.raises(SettingsError, match="it is not a folder: set QC_STATE_DIR to a folder"):
        usable(place(tmp_path))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_made_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    for use in (usable, lambda path: worker_slot(path).__enter__()):
        with pytest.raises(SettingsError, match=f"state folder .*{os.strerror(number)}.*QC_STATE_DIR") as refused:
            use(tmp_path / "state")
        assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(SettingsError, match="QC_STATE_DIR"):
        keep_compiled_kernels(load_settings(state_dir=tmp_path / "state"))


def test_a_folder_of_another_user_is_refused_before_it_is_written_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SettingsError, match=f"Permission denied.*give user {os.getuid()} permission"):
        usable(tmp_path)


def test_a_lock_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "workers" / "0.lock"))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(SettingsError, match=r"Permission denied \(.*0.lock\); give user"), worker_slot(tmp_path):
        pass


def test_a_folder_that_can_be_used_is_made(tmp_path: Path) -> None:
    assert usable(tmp_path / "a" / "b").is_dir()
    with worker_slot(tmp_path / "c") as first, worker_slot(tmp_path / "c") as second:
        assert first != second


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR])
def test_a_command_ends_with_2_where_it_may_not_read_or_write(capsys: pytest.CaptureFixture[str], number: int) -> None:
    with pytest.raises(typer.Exit) as ended, exit_codes():
        raise OSError(number, os.strerror(number), "/state/samples")
    assert ended.value.exit_code == USAGE_ERROR
    said = capsys.readouterr().err
    assert said.startswith("error: cannot read or write /state/samples: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_what_the_trainer_may_not_write_comes_with_a_remedy(number: int) -> None:
    from qc_worker.domain.errors import TrainingError

    with pytest.raises(TrainingError, match=r"\(/samples/A\): .*; .*QC_STATE_DIR"), disk_errors():
        raise OSError(number, os.strerror(number), "/samples/A")


def test_the_kernels_of_inductor_and_of_triton_are_kept_in_the_state_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(variable, "")  # so that it is as before after the test
        monkeypatch.delenv(variable)
    folder = keep_compiled_kernels(load_settings(state_dir=tmp_path / "state"))
    assert folder.is_relative_to(tmp_path / "state")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(folder)
    assert os.environ["TRITON_CACHE_DIR"] == str(folder / "triton")
    monkeypatch.setenv("TRITON_CACHE_DIR", "/chosen")
    keep_compiled_kernels(load_settings(state_dir=tmp_path / "state"))
    assert os.environ["TRITON_CACHE_DIR"] == "/chosen"


def test_every_cause_has_a_remedy() -> None:
    assert all("QC_X" in remedy(OSError(number, "no"), "QC_X") for number in (*errno.errorcode, 0))
