"""Addresses and credentials as kafka-python wants them."""

import pytest
from kafka import KafkaConsumer

from qc_worker.domain.errors import SettingsError, TransportError
from qc_worker.transport.kafka.connecting.access import KafkaAccess, open_client, transport_errors


def test_several_addresses_are_split() -> None:
    access = KafkaAccess("a:1, b:2")
    assert access.common(access.spoken())["bootstrap_servers"] == ["a:1", "b:2"]


def test_plain_access_has_no_credentials() -> None:
    access = KafkaAccess("a:1", sasl_username="user", sasl_password="secret")
    common = access.common(access.spoken())
    assert not [name for name in common if name.startswith(("sasl_", "ssl_"))]


def test_sasl_access_has_them() -> None:
    access = KafkaAccess(
        "a:1",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="user",
        sasl_password="secret",
    )
    common = access.common(access.spoken())
    assert common["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (common["sasl_plain_username"], common["sasl_plain_password"]) == ("user", "secret")


def test_password_is_not_shown() -> None:
    assert "secret" not in repr(KafkaAccess("a:1", sasl_password="secret"))


def test_setting_that_can_never_work_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="Kafka settings"):
        open_client(KafkaConsumer, KafkaAccess("127.0.0.1:1"), no_such_setting=1)


def test_errors_name_what_was_being_done() -> None:
    with (
        pytest.raises(TransportError, match="polling images: ConnectionResetError: gone"),
        transport_errors("polling images"),
    ):
        raise ConnectionResetError("gone")
