"""What is wrong between a broker and us, told by servers that speak just enough."""

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

import pytest
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import (
    InconsistentGroupProtocolError,
    InvalidSessionTimeoutError,
    KafkaConnectionError,
    SaslAuthenticationFailedError,
)

from qc_worker.domain.errors import SettingsError, TransportError
from qc_worker.transport.kafka.connecting.access import KafkaAccess, open_client, transport_errors
from qc_worker.transport.kafka.connecting.causes import ILLEGAL_SASL_STATE, Spoken, asked, cause_of

PLAIN = Spoken("PLAINTEXT", None, None, None)
LOGIN = Spoken("SASL_PLAINTEXT", "SCRAM-SHA-512", "camera", None)


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that treats each connection by `answer`, then hangs up. Yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    link, _ = server.accept()
                except OSError:
                    return
                with link:
                    link.settimeout(5)
                    try:
                        answer(link)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def kafka(*mechanisms: str) -> Callable[[socket.socket], None]:
    """A listener of Kafka's with a login by these mechanisms; with none, without a login."""

    def answer(link: socket.socket) -> None:
        while head := link.recv(4, socket.MSG_WAITALL):
            (size,) = struct.unpack(">i", head)
            if not 0 < size < 10_000:
                return
            key, _, correlation = struct.unpack_from(">hhi", link.recv(size, socket.MSG_WAITALL))
            if key == 18:
                body = struct.pack(">hi", 35, 1) + struct.pack(">hhh", 18, 0, 0)
            elif key == 17:
                code = 0 if mechanisms else ILLEGAL_SASL_STATE
                names = b"".join(struct.pack(">h", len(name)) + name.encode() for name in mechanisms)
                body = struct.pack(">hi", code, len(mechanisms)) + names
            else:
                return
            link.sendall(struct.pack(">ii", len(body) + 4, correlation) + body)

    return answer


def tls_alert(link: socket.socket) -> None:
    """What every TLS listener says to whoever speaks no TLS, and one that wants certificates to whoever has none."""
    link.recv(1024)
    link.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # fatal, handshake_failure


def http(link: socket.socket) -> None:
    link.recv(1024)
    link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def silence(link: socket.socket) -> None:
    link.recv(1024)


@pytest.mark.parametrize(
    ("server", "spoken", "told"),
    [
        (kafka("PLAIN"), PLAIN, r"requires a login \(PLAIN\).*SASL_PLAINTEXT"),
        (kafka(), LOGIN, "no login: set kafka_security_protocol to PLAINTEXT"),
        (kafka("PLAIN", "GSSAPI"), LOGIN, "does not offer SCRAM-SHA-512.*PLAIN, GSSAPI"),
        (tls_alert, PLAIN, "uses TLS: set kafka_security_protocol to SSL or SASL_SSL"),
        (tls_alert, LOGIN, "uses TLS"),
        (http, PLAIN, "something else than a Kafka broker"),
        (kafka(), None, "does not use TLS: set kafka_security_protocol to PLAINTEXT"),
        (kafka("PLAIN"), None, "does not use TLS: set kafka_security_protocol to SASL_PLAINTEXT"),
        (tls_alert, None, "requires a client certificate"),
    ],
)
def test_an_address_says_what_is_wrong(
    server: Callable[[socket.socket], None], spoken: Spoken | None, told: str
) -> None:
    with serving(server) as port:
        cause = asked("127.0.0.1", port, spoken or with_tls())
    assert cause is not None
    assert re.search(told, cause.text)
    assert "\n" not in cause.text
    assert cause.is_final == (server is not http)


@pytest.mark.parametrize(
    ("server", "spoken"), [(kafka(), PLAIN), (kafka("SCRAM-SHA-512"), LOGIN), (silence, PLAIN), (silence, LOGIN)]
)
def test_an_address_that_is_right_or_hangs_up_has_no_cause(
    server: Callable[[socket.socket], None], spoken: Spoken
) -> None:
    with serving(server) as port:
        assert asked("127.0.0.1", port, spoken) is None


def test_an_address_where_nobody_is_has_no_cause() -> None:
    assert asked("127.0.0.1", 1, PLAIN) is None
    assert asked("a..b", 9092, PLAIN) is None
    assert asked("127.0.0.1", 1, with_tls()) is None


def test_an_error_is_known_however_deep_it_lies() -> None:
    told = KafkaConnectionError(SaslAuthenticationFailedError("no"))
    wrapped = RuntimeError("outer")
    wrapped.__context__ = told
    cause = cause_of(wrapped, LOGIN)
    assert cause is not None
    assert "'camera'" in cause.text


@pytest.mark.parametrize(
    ("code", "words", "is_final"),
    [
        (10, "has expired", False),
        (9, "not yet valid", False),
        (18, "unknown authority", True),
        (62, "another host", True),
    ],
)
def test_a_certificate_that_time_will_mend_is_worth_another_try(code: int, words: str, is_final: bool) -> None:
    error = ssl.SSLCertVerificationError(1, "failed")
    error.verify_code, error.verify_message = code, f"certificate {words}"
    cause = cause_of(error, with_tls())
    assert cause is not None
    assert words in cause.text
    assert cause.is_final is is_final


def test_an_error_that_may_be_anything_has_no_cause() -> None:
    assert cause_of(KafkaConnectionError("socket disconnected"), LOGIN) is None


@pytest.mark.parametrize("kind", [KafkaAdminClient, KafkaConsumer])
def test_what_can_never_work_ends_at_once(kind: type) -> None:
    began_s = monotonic()
    with serving(tls_alert) as port, pytest.raises(SettingsError, match=f"127.0.0.1:{port}: the broker uses TLS"):
        open_client(kind, KafkaAccess(f"127.0.0.1:{port}"))
    assert monotonic() - began_s < 5


def test_one_address_that_can_never_work_does_not_end_what_another_may() -> None:
    with ExitStack() as stack:
        refusing, absent = stack.enter_context(serving(tls_alert)), "127.0.0.1:1"
        access = KafkaAccess(f"127.0.0.1:{refusing},{absent}", connect_timeout_ms=1_500)
        with pytest.raises(TransportError, match="uses TLS"):
            open_client(KafkaAdminClient, access)


def test_a_broker_that_is_away_is_worth_another_try() -> None:
    with pytest.raises(TransportError, match=r"no Kafka broker answers at 127.0.0.1:1: .*ECONNREFUSED"):
        open_client(KafkaAdminClient, KafkaAccess("127.0.0.1:1", connect_timeout_ms=300))


@pytest.mark.parametrize("error", [InconsistentGroupProtocolError(), InvalidSessionTimeoutError()])
def test_what_a_broker_will_always_refuse_is_a_settings_error(error: Exception) -> None:
    with pytest.raises(SettingsError, match="polling images: "), transport_errors("polling images"):
        raise error


def with_tls() -> Spoken:
    return Spoken("SSL", None, None, ssl.create_default_context())
