"""Settings of the archive, and the policy that is made of them."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc_dashboard.archive.policy import ArchivePolicy
from qc_dashboard.settings import DEFAULT_DAYS, load_dashboard_settings
from qc_worker.domain.errors import SettingsError
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict


def test_archive_is_a_folder_in_the_state_folder_by_default(tmp_path: Path) -> None:
    assert load_dashboard_settings(state_dir=tmp_path).archive_address == str(tmp_path / "archive")


def test_password_of_the_archive_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QC_ARCHIVE_URL", "ftp://qc:secret@host/archive")
    settings = load_dashboard_settings()
    assert settings.archive_address == "ftp://qc:secret@host/archive"
    assert "secret" not in repr(settings)


def test_days_of_a_verdict_may_be_named_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qc.toml").write_text("[dashboard]\narchive_days = {reject = 10, pass = 0}\n")
    assert load_dashboard_settings().archive_days == {**DEFAULT_DAYS, Verdict.REJECT: 10, Verdict.PASS: 0}


@pytest.mark.parametrize("days", ["{maybe = 3}", "{reject = -1}", '{reject = "long"}'])
def test_days_that_cannot_be_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qc.toml").write_text(f"[dashboard]\narchive_days = {days}\n")
    with pytest.raises(SettingsError, match="archive_days"):
        load_dashboard_settings()


def policy(share: float, **days: int) -> ArchivePolicy:
    return ArchivePolicy({**DEFAULT_DAYS, **{Verdict(name): each for name, each in days.items()}}, share, 1 << 30)


def test_nothing_of_a_verdict_with_no_days_is_archived() -> None:
    source = Position("images", 0, 0)
    assert not policy(1.0, reject=0).wants(Verdict.REJECT, source)
    assert policy(0.0, reject=1).wants(Verdict.REJECT, source)
    assert policy(0.0, reject=1).kept_for(Verdict.REJECT) == timedelta(days=1)


@given(st.integers(0, 2**63 - 1), st.floats(0, 1), st.floats(0, 1))
def test_larger_share_of_passes_contains_the_smaller(offset: int, one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    source = Position("images", 3, offset)
    assert policy(larger).wants(Verdict.PASS, source) or not policy(smaller).wants(Verdict.PASS, source)
    assert policy(1.0).wants(Verdict.PASS, source)
    assert not policy(0.0).wants(Verdict.PASS, source)
