"""Settings of the review."""

import pytest

from qc_dashboard.settings import load_dashboard_settings
from qc_worker.domain.errors import SettingsError


def test_kinds_come_from_the_environment_as_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QC_REVIEW_KINDS", '["rust", "burr"]')
    assert load_dashboard_settings().review_kinds == ("rust", "burr")


@pytest.mark.parametrize("kinds", ['["good"]', '["a/b"]', '["Rust", "rust"]'])
def test_kinds_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch, kinds: str) -> None:
    monkeypatch.setenv("QC_REVIEW_KINDS", kinds)
    with pytest.raises(SettingsError, match="review_kinds"):
        load_dashboard_settings()


@pytest.mark.parametrize(("name", "value"), [("review_pass_share", "1.1"), ("review_lease_s", "0")])
def test_numbers_out_of_range_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"QC_{name.upper()}", value)
    with pytest.raises(SettingsError, match=name):
        load_dashboard_settings()
