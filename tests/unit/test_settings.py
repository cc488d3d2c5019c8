from pathlib import Path

import pytest

from qc_worker.domain.errors import SettingsError
from qc_worker.settings import Settings, load_settings

SECRET = "correct-horse-battery"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"QC_{name.upper()}", raising=False)
    monkeypatch.delenv("QC_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


def test_defaults_hold_where_nothing_is_said() -> None:
    settings = load_settings()
    assert settings.kafka_bootstrap_servers == "127.0.0.1:9092"
    assert settings.model_store_url == str(settings.state_dir / "models")
    assert settings.sample_dir == settings.state_dir / "samples"
    assert settings.weights_path == settings.state_dir / "weights"


def test_flags_win_over_environment_over_file_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("qc.toml").write_text("max_batch_size = 2\nmax_wait_ms = 2\ndecode_threads = 2\n")
    monkeypatch.setenv("QC_MAX_BATCH_SIZE", "3")
    monkeypatch.setenv("QC_MAX_WAIT_MS", "3")
    settings = load_settings(max_batch_size=4)
    assert (settings.max_batch_size, settings.max_wait_ms, settings.decode_threads) == (4, 3, 2)


def test_flag_that_was_not_given_counts_as_nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QC_PARTITIONS", "9")
    assert load_settings(partitions=None).partitions == 9


def test_qc_config_names_another_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "plant.toml").write_text('device = "cuda:1"\n')
    monkeypatch.setenv("QC_CONFIG", str(tmp_path / "plant.toml"))
    assert load_settings().device == "cuda:1"


def test_qc_config_that_names_no_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QC_CONFIG", "missing.toml")
    _refused("QC_CONFIG", "missing.toml")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("kafka_bootstrap_servers", "broker"),
        ("kafka_bootstrap_servers", ":9092"),
        ("kafka_bootstrap_servers", "a:1,b"),
        ("kafka_bootstrap_servers", ""),
        ("kafka_security_protocol", "plain"),
        ("max_batch_size", "0"),
        ("max_batch_size", "many"),
        ("heatmap_pass_share", "1.5"),
        ("health_port", "70000"),
        ("log_level", "loud"),
    ],
)
def test_bad_value_is_one_line_that_names_the_setting(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"QC_{name.upper()}", text)
    _refused(name, f"QC_{name.upper()}")


def test_unknown_name_in_the_file_is_an_error() -> None:
    Path("qc.toml").write_text("max_bach_size = 8\n")
    _refused("max_bach_size")


def test_file_that_is_not_toml_is_an_error() -> None:
    Path("qc.toml").write_text("max_batch_size: 8\n")
    _refused("qc.toml")


def test_file_that_is_not_text_is_an_error() -> None:
    Path("qc.toml").write_bytes(b"\xff\xfe\x00")
    _refused("qc.toml")


def test_broker_list_may_have_several_addresses_and_ipv6() -> None:
    servers = "a.example:9092, b.example:9093,[::1]:9094"
    assert load_settings(kafka_bootstrap_servers=servers).kafka_bootstrap_servers == servers


@pytest.mark.parametrize("show", [repr, str, lambda settings: settings.model_dump_json()])
def test_password_is_never_shown(monkeypatch: pytest.MonkeyPatch, show: object) -> None:
    monkeypatch.setenv("QC_KAFKA_SASL_PASSWORD", SECRET)
    settings = load_settings()
    assert callable(show)
    assert SECRET not in show(settings)
    assert settings.kafka_sasl_password is not None
    assert settings.kafka_sasl_password.get_secret_value() == SECRET


def test_password_in_the_redis_url_is_not_shown() -> None:
    settings = load_settings(redis_url=f"redis://:{SECRET}@cache:6379/0")
    assert SECRET not in repr(settings) + str(settings)


def test_password_is_not_in_the_error_about_another_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QC_KAFKA_SASL_PASSWORD", SECRET)
    assert SECRET not in _refused("partitions", partitions=0)


def test_password_of_the_wrong_type_is_not_in_its_error() -> None:
    Path("qc.toml").write_text(f'kafka_sasl_password = ["{SECRET}"]\n')
    assert SECRET not in _refused("kafka_sasl_password")


def test_settings_cannot_be_changed_after_the_start() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().partitions = 3  # type: ignore[misc]


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def _refused(*facts: str, **flags: object) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(**flags)
    line = str(refused.value)
    assert "\n" not in line
    assert all(fact in line for fact in facts), line
    return line
