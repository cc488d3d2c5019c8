import pwd
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qc_worker.cli import app
from qc_worker.domain.errors import SettingsError
from qc_worker.settings import Settings, load_settings

SECRET = "correct-horse-battery"
AUTOMATIC = ("max_batch_size", "decode_threads", "max_in_flight_frames", "max_in_flight_bytes")


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


@pytest.mark.parametrize("name", AUTOMATIC)
def test_auto_is_the_default_and_may_be_written(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert getattr(load_settings(), name) is None
    Path("qc.toml").write_text(f"{name} = 3000000\n" if name.endswith("bytes") else f"{name} = 3\n")
    assert getattr(load_settings(), name) in (3, 3_000_000)
    monkeypatch.setenv(f"QC_{name.upper()}", "auto")
    assert getattr(load_settings(), name) is None


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
        ("kafka_bootstrap_servers", ","),
        ("kafka_bootstrap_servers", "a:1,"),
        ("kafka_bootstrap_servers", "PLAINTEXT://a:9092"),
        ("kafka_bootstrap_servers", "a:9092,SASL_SSL://b:9092"),
        ("kafka_bootstrap_servers", "a:0"),
        ("kafka_bootstrap_servers", "a:65536"),
        ("kafka_bootstrap_servers", "a:99999999999999999999"),
        ("kafka_bootstrap_servers", "a:-1"),
        ("kafka_bootstrap_servers", "a:\N{FULLWIDTH DIGIT NINE}"),
        ("kafka_bootstrap_servers", "a b:9092"),
        ("kafka_bootstrap_servers", "a:9092/"),
        ("kafka_bootstrap_servers", "user@a:9092"),
        ("kafka_bootstrap_servers", "::1:9092"),
        ("kafka_bootstrap_servers", "[::1:9092"),
        ("kafka_bootstrap_servers", "[nonsense]:9092"),
        ("kafka_security_protocol", "TLS"),
        ("images_topic", "images here"),
        ("results_topic", ".."),
        ("models_topic", "m" * 250),
        ("kafka_sasl_mechanism", "GSSAPI"),
        ("redis_timeout_ms", "0"),
        ("kafka_security_protocol", "plain"),
        ("max_batch_size", "0"),
        ("max_batch_size", "many"),
        ("max_batch_size", "257"),
        ("decode_threads", "0"),
        ("max_in_flight_frames", "automatic"),
        ("max_in_flight_bytes", "1"),
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


HOME_SETTINGS = [
    "state_dir",
    "sample_store",
    "weights_dir",
    "model_store",
    "kafka_ssl_cafile",
    "kafka_ssl_certfile",
    "kafka_ssl_keyfile",
    "kafka_ssl_key_password_file",
    "kafka_sasl_password_file",
]


@pytest.mark.parametrize("text", ["", " "])
@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name != "redis_url"])
def test_empty_is_unset_wherever_it_stands(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    default = getattr(load_settings(), name)
    if not (name == "deadline_ms" and text):  # JSON in the environment, which a blank is not
        monkeypatch.setenv(f"QC_{name.upper()}", text)
    assert getattr(load_settings(), name) == default
    monkeypatch.delenv(f"QC_{name.upper()}", raising=False)
    assert getattr(load_settings(**{name: text}), name) == default
    Path("qc.toml").write_text(f'{name} = "{text}"\n')
    assert getattr(load_settings(), name) == default


def test_an_empty_variable_leaves_the_file_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("qc.toml").write_text('sample_store = "/samples"\n')
    monkeypatch.setenv("QC_SAMPLE_STORE", "")
    monkeypatch.setenv("QC_CONFIG", "")
    assert load_settings(sample_store="").sample_dir == Path("/samples")


@pytest.mark.parametrize("place", ["environment", "file", "flag"])
def test_an_empty_redis_url_means_no_heatmaps(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    flags = {"redis_url": ""} if place == "flag" else {}
    if place == "environment":
        monkeypatch.setenv("QC_REDIS_URL", "")
    if place == "file":
        Path("qc.toml").write_text('redis_url = ""\n')
    assert load_settings(**flags).redis_url == ""


def test_a_variable_for_no_heatmaps_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("qc.toml").write_text('redis_url = "redis://cache:6379/0"\n')
    monkeypatch.setenv("QC_REDIS_URL", "")
    assert load_settings().redis_url == ""


@pytest.mark.parametrize("name", HOME_SETTINGS)
def test_tilde_is_the_home_folder_wherever_a_path_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    wanted = str(tmp_path / "home" / "qc")
    monkeypatch.setenv(f"QC_{name.upper()}", "~/qc")
    assert str(getattr(load_settings(), name)) == wanted
    monkeypatch.delenv(f"QC_{name.upper()}")
    assert str(getattr(load_settings(**{name: "~/qc"}), name)) == wanted
    Path("qc.toml").write_text(f'{name} = "~/qc"\n')
    assert str(getattr(load_settings(), name)) == wanted


@pytest.mark.parametrize("name", HOME_SETTINGS)
def test_the_home_of_somebody_unknown_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"QC_{name.upper()}", "~nobody-of-this-name/qc")
    _refused(name, "home folder")


def test_every_setting_that_is_a_path_knows_the_home_folder() -> None:
    paths = {name for name, field in Settings.model_fields.items() if "Path" in str(field.annotation)}
    assert paths == set(HOME_SETTINGS) - {"model_store"}


def test_a_user_without_a_home_is_asked_for_the_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", _no_entry)
    settings = load_settings()
    for ask in (
        lambda: settings.state_path,
        lambda: settings.sample_dir,
        lambda: settings.model_store_url,
        lambda: settings.weights_path,
    ):
        with pytest.raises(SettingsError, match="QC_STATE_DIR"):
            ask()
    assert load_settings(state_dir=Path("/state")).sample_dir == Path("/state/samples")


def _no_entry(uid: int) -> None:
    raise KeyError(f"getpwuid(): uid not found: {uid}")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_file_with_a_byte_order_mark_is_read(encoding: str, line_end: str) -> None:
    text = line_end.join(["# Prüfstand", "max_batch_size = 2", ""])
    Path("qc.toml").write_bytes(text.encode(encoding))
    assert load_settings().max_batch_size == 2


def test_an_error_in_the_file_names_the_file_that_was_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "plant.toml").write_text("max_batch_size: 8")
    monkeypatch.setenv("QC_CONFIG", str(tmp_path / "plant.toml"))
    _refused("plant.toml")


@pytest.mark.parametrize("flag", ["--state-dir", "--weights-dir"])
def test_an_empty_flag_of_a_folder_is_not_the_working_folder(monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    monkeypatch.setenv("QC_STATE_DIR", "/from-the-environment")
    monkeypatch.setenv("QC_WEIGHTS_DIR", "/from-the-environment")
    seen: list[Settings] = []
    monkeypatch.setattr("qc_worker.commands.run.run_worker", seen.append)
    CliRunner().invoke(app, ["run", flag, ""])
    assert {seen[0].state_dir, seen[0].weights_path} == {Path("/from-the-environment")}
