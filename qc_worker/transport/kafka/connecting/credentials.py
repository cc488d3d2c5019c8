"""Reads credentials for the brokers and checks everything that can be checked without asking a broker."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from qc_worker.domain.errors import SettingsError

NO_PASSWORD = ""
"""Passed to OpenSSL if none is set; otherwise it would ask for one on the terminal and wait."""
CERTIFICATE_MARK = b"CERTIFICATE-----"
KEY_MARK = b"PRIVATE KEY-----"
NO_CERTIFICATE = "it holds no certificate in PEM form (convert a .jks, .p12 or .der file)"
UNREADABLE = "OpenSSL cannot read it: damaged, or not in PEM form"


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM form, and the password of the private key."""

    cafile: Path | None = None
    certfile: Path | None = None
    keyfile: Path | None = None
    key_password: str | None = field(default=None, repr=False)

    def context(self) -> ssl.SSLContext:
        """Build the TLS context: brokers must have a certificate of that authority for their very host.

        Raises SettingsError for files that cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cafile is None:
            context.load_default_certs()
        else:
            self._load_authority(context, self.cafile)
        self._load_own(context)
        return context

    def _load_authority(self, context: ssl.SSLContext, cafile: Path) -> None:
        if CERTIFICATE_MARK not in _content("kafka_ssl_cafile", cafile):
            raise SettingsError(f"kafka_ssl_cafile {cafile}: {NO_CERTIFICATE}")
        try:
            context.load_verify_locations(cafile)
        except (ssl.SSLError, OSError, ValueError):
            raise SettingsError(f"kafka_ssl_cafile {cafile}: {UNREADABLE}") from None

    def _load_own(self, context: ssl.SSLContext) -> None:
        if self.certfile is None:
            if self.keyfile is not None:
                raise SettingsError("kafka_ssl_keyfile needs the certificate of that key too: set kafka_ssl_certfile")
            return
        if CERTIFICATE_MARK not in _content("kafka_ssl_certfile", self.certfile):
            raise SettingsError(f"kafka_ssl_certfile {self.certfile}: {NO_CERTIFICATE}")
        name, keyfile = ("kafka_ssl_keyfile", self.keyfile) if self.keyfile else ("kafka_ssl_certfile", self.certfile)
        key = _content(name, keyfile)
        if KEY_MARK not in key:
            raise SettingsError(f"{name} {keyfile}: it holds no private key in PEM form; set kafka_ssl_keyfile")
        password = NO_PASSWORD if self.key_password is None else self.key_password
        try:
            context.load_cert_chain(self.certfile, keyfile, password=password)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise SettingsError(f"{name} {keyfile}: {self._why_not(error, key)}") from None

    def _why_not(self, error: Exception, key: bytes) -> str:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            return f"this private key belongs to another certificate than {self.certfile}"
        if b"ENCRYPTED" not in key:
            return UNREADABLE
        return (
            f"the private key has a password: kafka_ssl_key_password is {'wrong' if self.key_password else 'not set'}"
        )


@dataclass(frozen=True, slots=True)
class Login:
    """User name, password and login mechanism."""

    mechanism: str | None
    username: str | None
    password: str | None = field(default=None, repr=False)

    def settings(self) -> dict[str, str]:
        """Return them under kafka-python's names. Raises SettingsError if any is missing."""
        missing = [name for name in ("mechanism", "username", "password") if not getattr(self, name)]
        if missing:
            names = " and ".join(f"kafka_sasl_{name}" for name in missing)
            raise SettingsError(f"a login (kafka_security_protocol SASL_PLAINTEXT or SASL_SSL) needs more: set {names}")
        return {
            "sasl_mechanism": str(self.mechanism),
            "sasl_plain_username": self._name_on_the_wire(),
            "sasl_plain_password": str(self.password),
        }

    def _name_on_the_wire(self) -> str:
        """Return the user name; for SCRAM with `,` and `=` escaped (RFC 5802, 5.1), which kafka-python leaves to us."""
        name = str(self.username)
        if not str(self.mechanism).startswith("SCRAM-"):
            return name
        return name.replace("=", "=3D").replace(",", "=2C")


def read_secret(name: str, path: Path) -> str:
    """Read the only line of a file that holds a secret. Raises SettingsError."""
    try:
        secret = _content(name, path).decode("utf-8-sig").rstrip("\r\n")
    except UnicodeError:
        secret = ""
    if not secret or "\n" in secret:
        raise SettingsError(f"{name} {path}: expected one line of UTF-8 with the password and nothing else")
    return secret


def _content(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not the name of a file"
        raise SettingsError(f"{name} {path} cannot be read: {reason}") from None
