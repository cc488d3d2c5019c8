"""The register of fixes: which versions it takes, what it says, and that nobody forgets it."""

import tomllib
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name

import kafka
import pytest
from kafka import KafkaConsumer

from qc_worker.domain.errors import SettingsError
from qc_worker.settings import load_settings
from qc_worker.transport.kafka.connecting.access import KafkaAccess, open_client
from qc_worker.transport.kafka_fixes import register
from qc_worker.transport.kafka_fixes.fix import NOT_REPORTED, Fix
from qc_worker.transport.kafka_fixes.register import FIXES, TESTED, FixesNotInstalled, _row, fixes_table, install_all
from qc_worker.wiring.brokers import kafka_access

PACKAGE = Path(register.__file__).parent
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process at its start, as far as the register knows; what it replaces is put back afterwards."""
    monkeypatch.setattr(register, "_originals", {})
    for fix in FIXES:
        monkeypatch.setattr(fix.target, resolve_name(fix.target))


def test_pin_and_tested_versions_agree() -> None:
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert f"kafka-python[crc32c]=={TESTED[-1]}" in dependencies
    assert kafka.__version__ in TESTED


def test_every_file_of_a_fix_is_registered_and_has_tests() -> None:
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "fix", "register", "private_api"}
    assert len(files) == len(FIXES)
    assert {fix.install.__module__.rpartition(".")[2] for fix in FIXES} == files
    assert {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")} >= files


@pytest.mark.parametrize("fix", FIXES, ids=lambda fix: fix.install.__module__.rpartition(".")[2])
def test_every_fix_says_what_a_user_sees_and_where_it_was_reported(fix: Fix) -> None:
    assert "\n" not in fix.defect
    assert fix.defect.endswith(".")
    assert fix.upstream == NOT_REPORTED or fix.upstream.startswith("https://github.com/dpkp/kafka-python/issues/")


def test_a_client_is_not_opened_without_the_fixes(nothing_installed: None) -> None:
    with pytest.raises(FixesNotInstalled, match=r"call .*install_all\(\) before the first Kafka client is opened"):
        open_client(KafkaConsumer, KafkaAccess("127.0.0.1:1"))


@pytest.mark.usefixtures("nothing_installed")
def test_settings_that_become_an_access_install_them() -> None:
    kafka_access(load_settings())
    assert register.installed()


@pytest.mark.usefixtures("nothing_installed")
def test_an_untested_version_is_refused_unless_a_setting_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "__version__", "3.1.0")
    with pytest.raises(SettingsError, match=r"^kafka-python 3\.1\.0 is not tested .* kafka_python_untested=true$"):
        kafka_access(load_settings())
    assert not register.installed()
    kafka_access(load_settings(kafka_python_untested=True))
    assert register.installed()


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize("fix", FIXES, ids=lambda fix: fix.install.__module__.rpartition(".")[2])
def test_a_version_without_a_target_is_refused_and_nothing_is_replaced(
    fix: Fix, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {other.target: resolve_name(other.target) for other in FIXES if other.target != fix.target}
    monkeypatch.delattr(fix.target)
    with pytest.raises(SettingsError, match=r"^kafka-python \S+ has no kafka\.\S+, which qc-worker replaces"):
        install_all()
    assert {target: resolve_name(target) for target in before} == before
    assert not register.installed()


def test_a_name_that_a_replacement_overrides_is_missed(
    nothing_installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("kafka.record.default_records.DefaultRecordBatch._maybe_uncompress")
    with pytest.raises(SettingsError, match=r"has no kafka\.record\.default_records\.DefaultRecordBatch\._maybe_unc"):
        install_all()


def test_installing_again_changes_nothing() -> None:
    before = [resolve_name(fix.target) for fix in FIXES]
    install_all()
    assert [resolve_name(fix.target) for fix in FIXES] == before


def test_the_table_links_to_a_reported_issue() -> None:
    reported = replace(FIXES[0], upstream="https://github.com/dpkp/kafka-python/issues/1")
    assert _row(reported).endswith("| [#1](https://github.com/dpkp/kafka-python/issues/1) |")


def test_the_table_has_a_row_per_fix() -> None:
    assert fixes_table().count("\n") == len(FIXES) + 1
