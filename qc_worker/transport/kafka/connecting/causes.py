"""Finds the reason why a broker refuses us: in kafka-python's error, or by asking the address itself.

kafka-python 3.0.12 retries until its time is up, whatever the cause, and then raises KafkaTimeoutError; the cause is in
its log only. Some causes show in no error at all: a listener that expects TLS, or a login, just closes the connection.
"""

import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from kafka.errors import (
    IllegalSaslStateError,
    IncompatibleBrokerVersion,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

PROBE_TIMEOUT_S = 2.0
MAX_ANSWER_BYTES = 64 * 1024
API_VERSIONS, SASL_HANDSHAKE = 18, 17
ILLEGAL_SASL_STATE = 34
CERTIFICATE_NOT_YET_VALID, CERTIFICATE_EXPIRED = 9, 10
HOST_MISMATCHES = (62, 64)
UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
"""OpenSSL's X509_V_ERR_*."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a refusal, in one line for people."""

    text: str
    is_final: bool = True
    """Retrying with unchanged settings will never help."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """Protocol of the connections to a broker."""

    protocol: str
    mechanism: str | None
    username: str | None
    tls: ssl.SSLContext | None

    @property
    def has_login(self) -> bool:
        return self.protocol.startswith("SASL_")


def cause_of(error: BaseException, spoken: Spoken) -> Cause | None:
    """Return the cause that an error proves; None if it may have many causes."""
    return next((cause for one in _chain(error) if (cause := _told(one, spoken))), None)


def asked(host: str, port: int, spoken: Spoken, timeout_s: float = PROBE_TIMEOUT_S) -> Cause | None:
    """Ask the address itself, by connections of our own; None if it does not answer, or nothing is wrong with it."""
    try:
        probe = _Probe(host, port, timeout_s)
        return _asked_plain(probe, spoken) if spoken.tls is None else _asked_tls(probe, spoken, spoken.tls)
    except ValueError:  # no name that could be looked up
        return None


def _asked_tls(probe: "_Probe", spoken: Spoken, tls: ssl.SSLContext) -> Cause | None:
    try:
        with probe.connected(tls) as link:
            return None if probe.speaks_kafka(link) is None else _login_cause(probe.mechanisms(link, spoken), spoken)
    except ssl.SSLError as error:
        if told := cause_of(error, spoken):
            return told
    except OSError:
        pass
    offered = _offered(probe, None, spoken)
    return None if offered is None else Cause(f"the broker does not use TLS: set kafka_security_protocol to {offered}")


def _asked_plain(probe: "_Probe", spoken: Spoken) -> Cause | None:
    try:
        with probe.connected(None) as link:
            is_kafka = probe.speaks_kafka(link)
            if is_kafka:
                return _login_cause(probe.mechanisms(link, spoken), spoken)
    except OSError:
        is_kafka = None
    if offered := _offered(probe, _unverified(), spoken):
        return Cause(f"the broker uses TLS: set kafka_security_protocol to {offered}, and kafka_ssl_cafile")
    if is_kafka is False:
        return Cause("something else than a Kafka broker answers there", is_final=False)
    return None


def _offered(probe: "_Probe", tls: ssl.SSLContext | None, spoken: Spoken) -> str | None:
    """Return the security protocol that the address speaks, in TLS if given; None if it speaks no Kafka so."""
    plain, login = ("PLAINTEXT", "SASL_PLAINTEXT") if tls is None else ("SSL", "SASL_SSL")
    try:
        with probe.connected(tls) as link:
            if not probe.speaks_kafka(link):
                return None if tls is None else f"{plain} or {login}"
            return plain if probe.mechanisms(link, spoken) is None else login
    except ssl.SSLError as error:
        # An alert proves TLS: the broker may require a certificate of ours first.
        return f"{plain} or {login}" if _is_alert(error) else None
    except OSError:
        return None


def _login_cause(offered: tuple[str, ...] | None, spoken: Spoken) -> Cause | None:
    if offered is None:
        return _no_login(spoken.tls is not None) if spoken.has_login else None
    named = ", ".join(offered) or "another mechanism"
    if not spoken.has_login:
        protocol = "SASL_PLAINTEXT" if spoken.tls is None else "SASL_SSL"
        return Cause(
            f"the broker requires a login ({named}): set kafka_security_protocol to {protocol}, "
            "kafka_sasl_mechanism, kafka_sasl_username and kafka_sasl_password"
        )
    if spoken.mechanism not in offered:
        return Cause(f"the broker does not offer {spoken.mechanism}: set kafka_sasl_mechanism to one of {named}")
    return None


def _no_login(has_tls: bool) -> Cause:
    return Cause(f"the broker has no login: set kafka_security_protocol to {'SSL' if has_tls else 'PLAINTEXT'}")


def _told(error: BaseException, spoken: Spoken) -> Cause | None:
    match error:
        case SaslAuthenticationFailedError():
            told = (
                f"the broker refuses user {spoken.username!r} by {spoken.mechanism}: wrong user name or password "
                "(kafka_sasl_username, kafka_sasl_password, kafka_sasl_mechanism)"
            )
        case UnsupportedSaslMechanismError():
            told = f"the broker does not offer {spoken.mechanism}: set kafka_sasl_mechanism"
        case IllegalSaslStateError():
            return _no_login(spoken.tls is not None)
        case IncompatibleBrokerVersion():
            told = (
                "the address does not answer like a Kafka broker of version 0.11 or later: "
                "perhaps it is the port of a KRaft controller"
            )
        case ssl.SSLCertVerificationError():
            return _certificate(error)
        case ssl.SSLError():
            return _alert(error)
        case _:
            return None
    return Cause(told)


def _certificate(error: ssl.SSLCertVerificationError) -> Cause:
    code, reason = error.verify_code, error.verify_message.rstrip(".")
    if code in UNKNOWN_AUTHORITY:
        return Cause(
            f"the broker's certificate was signed by an unknown authority ({reason}): set kafka_ssl_cafile to that one"
        )
    if code in HOST_MISMATCHES or "ostname" in reason:
        return Cause(
            f"the broker's certificate is for another host ({reason}): name the broker as its certificate does"
        )
    if code in (CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID):
        return Cause(f"{reason} (the broker's, or the clock of this machine is wrong)", is_final=False)
    return Cause(f"the broker's certificate cannot be trusted: {reason}")


def _alert(error: ssl.SSLError) -> Cause | None:
    """Explain the broker's TLS alert, or an error of our own TLS; None if it has no known cause."""
    reason = error.reason or ""
    if "CERTIFICATE_REQUIRED" in reason or "BAD_CERTIFICATE" in reason or reason.endswith("HANDSHAKE_FAILURE"):
        return Cause(
            f"the broker requires a client certificate, or does not accept ours ({reason}): "
            "set kafka_ssl_certfile and kafka_ssl_keyfile"
        )
    if "EXPIRED" in reason:
        return Cause(f"the broker does not accept our certificate any more ({reason}): renew kafka_ssl_certfile")
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason or "ACCESS_DENIED" in reason:
        return Cause(f"the broker does not accept our certificate ({reason}): set kafka_ssl_certfile to one it trusts")
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason or "NO_PROTOCOLS" in reason:
        return Cause(f"the broker speaks no version of TLS from 1.2 on ({reason})")
    return None


def _is_alert(error: ssl.SSLError) -> bool:
    return "ALERT" in (error.reason or "") or (error.reason or "").endswith("HANDSHAKE_FAILURE")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all errors behind it: its cause, its context, and those among its arguments."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [other for other in (one.__cause__, one.__context__, *one.args) if isinstance(other, BaseException)]


def _unverified() -> ssl.SSLContext:
    """Build a TLS context without verification, to find out if TLS is spoken; nothing secret is ever sent by it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Probe:
    """Speaks just enough of Kafka's protocol to identify a broker: ApiVersions, SaslHandshake; no kafka-python."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._host, self._port = host, port
        self._timeout_s = timeout_s

    def connected(self, tls: ssl.SSLContext | None) -> socket.socket:
        """Open a connection, in TLS if given. Raises OSError, of which ssl.SSLError is one."""
        link = socket.create_connection((self._host, self._port), timeout=self._timeout_s)
        if tls is None:
            return link
        try:
            return tls.wrap_socket(link, server_hostname=self._host.rstrip("."))
        except BaseException:
            link.close()
            raise

    def speaks_kafka(self, link: socket.socket) -> bool | None:
        """Return True if it answers as a broker; None if it closes the connection or is silent. Raises ssl.SSLError."""
        try:
            answer = _ask(link, API_VERSIONS, 0, b"")
        except ssl.SSLError as error:
            if _is_alert(error):
                raise
            return None
        except OSError:
            return None
        return None if answer == b"" else answer is not None

    def mechanisms(self, link: socket.socket, spoken: Spoken) -> tuple[str, ...] | None:
        """Return the ways to log in that it offers; None if it has no login. Raises OSError."""
        wanted = (spoken.mechanism or "PLAIN").encode()
        answer = _ask(link, SASL_HANDSHAKE, 1, struct.pack(">h", len(wanted)) + wanted)
        if not answer:
            raise ConnectionError("no answer to SaslHandshake")
        try:
            (code,) = struct.unpack_from(">h", answer)
            return None if code == ILLEGAL_SASL_STATE else _strings(answer[2:])
        except struct.error:
            raise ConnectionError("no answer to SaslHandshake") from None


def _ask(link: socket.socket, key: int, version: int, body: bytes) -> bytes | None:
    """Send one request; return the body of its answer, empty if the connection is closed, None if it is not Kafka's."""
    client = b"qc-worker"
    request = struct.pack(">hhih", key, version, 1, len(client)) + client + body
    link.sendall(struct.pack(">i", len(request)) + request)
    head = _received(link, 8)
    if len(head) < 8:
        return b"" if not head else None
    size, correlation = struct.unpack(">ii", head)
    if correlation != 1 or not 4 < size <= MAX_ANSWER_BYTES:
        return None
    return _received(link, size - 4)


def _received(link: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size and (more := link.recv(size - len(content))):
        content += more
    return content


def _strings(packed: bytes) -> tuple[str, ...]:
    (count,), at, found = struct.unpack_from(">i", packed), 4, []
    for _ in range(max(0, count)):
        (length,) = struct.unpack_from(">h", packed, at)
        found.append(packed[at + 2 : at + 2 + length].decode(errors="replace"))
        at += 2 + length
    return tuple(found)
