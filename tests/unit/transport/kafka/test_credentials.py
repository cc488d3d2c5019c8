"""Credentials that can never work are found before anybody is asked."""

from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer

from qc_worker.domain.errors import SettingsError
from qc_worker.settings import load_settings
from qc_worker.transport.kafka.connecting.access import KafkaAccess, open_client
from qc_worker.transport.kafka.connecting.credentials import Login, Tls, read_secret
from qc_worker.wiring.brokers import kafka_access
from tests.conftest import skip_on_a_laptop
from tests.support.apache_kafka.secured import KEY_PASSWORD, Certificates

NOWHERE = "127.0.0.1:1"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    try:
        made = Certificates.made(tmp_path_factory.mktemp("tls") / "certificates")
    except SettingsError as error:
        skip_on_a_laptop(str(error))
    made.path("garbage.pem").write_bytes(bytes(range(256)))
    made.path("empty.pem").write_bytes(b"")
    made.path("cut.pem").write_text(made.path("ca.pem").read_text()[:200])
    made.path("both.pem").write_text(made.path("client.pem").read_text() + made.path("client.key").read_text())
    made.path("folder").mkdir()
    return made


@pytest.mark.parametrize("name", ["missing.pem", "garbage.pem", "empty.pem", "cut.pem", "folder", "ca.key"])
def test_an_authority_that_cannot_be_used_is_named(certificates: Certificates, name: str) -> None:
    with pytest.raises(SettingsError, match=f"kafka_ssl_cafile .*{name}"):
        Tls(certificates.path(name)).context()


@pytest.mark.parametrize(
    ("certfile", "keyfile", "password", "told"),
    [
        ("missing.pem", "client.key", None, "kafka_ssl_certfile .*missing.pem cannot be read"),
        ("garbage.pem", "client.key", None, "kafka_ssl_certfile .*holds no certificate"),
        ("client.pem", "missing.key", None, "kafka_ssl_keyfile .*missing.key cannot be read"),
        ("client.pem", "garbage.pem", None, "kafka_ssl_keyfile .*holds no private key"),
        ("client.pem", None, None, "kafka_ssl_certfile .*holds no private key"),
        ("client.pem", "ca.key", None, "belongs to another certificate"),
        ("client.pem", "locked.key", None, "kafka_ssl_key_password is not set"),
        ("client.pem", "locked.key", "wrong", "kafka_ssl_key_password is wrong"),
        (None, "client.key", None, "set kafka_ssl_certfile"),
    ],
)
def test_a_certificate_of_ours_that_cannot_be_used_is_named(
    certificates: Certificates, certfile: str | None, keyfile: str | None, password: str | None, told: str
) -> None:
    paths = [name and certificates.path(name) for name in (certfile, keyfile)]
    with pytest.raises(SettingsError, match=told):
        Tls(certificates.path("ca.pem"), paths[0] or None, paths[1] or None, password).context()


@pytest.mark.parametrize(
    ("certfile", "keyfile", "password"),
    [("client.pem", "client.key", None), ("client.pem", "locked.key", KEY_PASSWORD), ("both.pem", None, None)],
)
def test_a_certificate_of_ours_is_loaded(
    certificates: Certificates, certfile: str, keyfile: str | None, password: str | None
) -> None:
    key = certificates.path(keyfile) if keyfile else None
    assert Tls(certificates.path("ca.pem"), certificates.path(certfile), key, password).context()


@pytest.mark.parametrize(
    "wrong",
    [
        {"security_protocol": "SSL", "ssl_cafile": Path("/nowhere/ca.pem")},
        {"security_protocol": "SASL_SSL", "ssl_keyfile": Path("/nowhere/key.pem")},
        {"security_protocol": "SASL_PLAINTEXT"},
        {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "camera"},
        {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_password": "secret"},
    ],
)
def test_they_are_looked_at_before_any_connection(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]) -> None:
    monkeypatch.setattr("socket.socket.connect_ex", _no_connection)
    with pytest.raises(SettingsError, match="kafka_s"):
        open_client(KafkaConsumer, KafkaAccess(NOWHERE, **wrong))


def _no_connection(*_: object) -> int:
    raise AssertionError("a connection was tried")


def test_names_with_marks_of_scram_are_escaped_for_it_alone() -> None:
    assert Login("SCRAM-SHA-512", "a=b,c", "p").settings()["sasl_plain_username"] == "a=3Db=2Cc"
    assert Login("PLAIN", "a=b,c", "p").settings()["sasl_plain_username"] == "a=b,c"


@pytest.mark.parametrize("name", ["kafka_sasl_password", "kafka_ssl_key_password"])
def test_a_password_comes_from_the_settings_or_from_a_file(tmp_path: Path, name: str) -> None:
    field = name.removeprefix("kafka_")
    (tmp_path / "secret").write_bytes(b"\xef\xbb\xbfcorrect horse \r\n")
    by_file = {f"{name}_file": tmp_path / "secret"}
    assert getattr(kafka_access(load_settings(**by_file)), field) == "correct horse "
    assert getattr(kafka_access(load_settings(**{name: "given"})), field) == "given"
    assert getattr(kafka_access(load_settings()), field) is None
    with pytest.raises(SettingsError, match="both set"):
        kafka_access(load_settings(**by_file, **{name: "given"}))


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe"])
def test_a_file_that_holds_no_password_is_named_and_never_quoted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(SettingsError, match="one line") as refused:
        read_secret("kafka_sasl_password_file", tmp_path / "secret")
    assert "two" not in str(refused.value)


def test_no_secret_is_shown() -> None:
    access = KafkaAccess("a:1", ssl_key_password="hidden", sasl_password="hidden")
    assert "hidden" not in repr(access) + repr(Tls(key_password="hidden")) + repr(Login("PLAIN", "u", "hidden"))
