import os
from pathlib import Path

import pytest

from qc_worker.embedded.demo import dashboard
from qc_worker.embedded.demo.dashboard import dashboard_beside


def test_demo_without_the_extra_goes_on_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dashboard, "EXTRA", ("no_such_package",))
    said: list[str] = []
    with dashboard_beside({}, tmp_path, said.append) as url:
        assert url is None
    assert said == ["no dashboard: pip install 'qc-worker[dashboard]'"]


def test_demo_goes_on_without_a_dashboard_that_does_not_start(tmp_path: Path) -> None:
    environment = {**os.environ, "QC_STATE_DIR": str(tmp_path), "QC_TRUSTED_HEADER": "X-User"}
    said: list[str] = []
    with dashboard_beside(environment, tmp_path, said.append) as url:
        assert url is None
    [line] = said
    assert line.startswith("the dashboard ended with code 2: error: trusted_header needs trusted_proxies")


def test_history_of_the_demo_is_its_own(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    environment = {
        **os.environ,
        "QC_STATE_DIR": str(tmp_path / "state"),
        "QC_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "QC_HISTORY_URL": f"sqlite:///{theirs / 'history.sqlite3'}",
        "QC_ARCHIVE_URL": str(theirs / "archive"),
    }
    said: list[str] = []
    with dashboard_beside(environment, tmp_path, said.append) as url:
        assert said == [f"dashboard: {url}"]
        assert (tmp_path / "history.sqlite3").exists()
    assert not theirs.exists()
    assert len(said) == 1
