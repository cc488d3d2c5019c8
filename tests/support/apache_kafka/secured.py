"""Configure a broker's listeners for TLS, logins and client certificates. Needs `openssl`."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.server import LOOPBACK, free_port

USER, PASSWORD = "camera", "correct-horse"
KEY_PASSWORD = "battery-staple"
PROTOCOLS = {"SASL_PLAIN": "SASL_PLAINTEXT", "SASL_TLS": "SASL_SSL", "TLS": "SSL", "MUTUAL": "SSL"}
"""Listeners and their security protocols; MUTUAL requires a client certificate."""
PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"


@dataclass(frozen=True)
class Certificates:
    """Certificates in PEM form, in one folder. The broker's is valid for 127.0.0.1 only."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> "Certificates":
        """Make all certificates. Raises SettingsError without openssl."""
        if shutil.which("openssl") is None:
            raise SettingsError("Apache Kafka with TLS for the tests needs openssl")
        folder.mkdir(parents=True)
        made = cls(folder)
        for authority in ("ca", "other-ca"):
            made._authority(authority)
        made._signed("broker", f"subjectAltName=IP:{LOOPBACK}")
        made._signed("client", "extendedKeyUsage=clientAuth")
        made._signed("stranger", "extendedKeyUsage=clientAuth", authority="other-ca")
        made._run("pkcs8", "-topk8", "-in", "client.key", "-out", "locked.key", "-passout", f"pass:{KEY_PASSWORD}")
        key_and_chain = made.path("broker.key").read_text() + made.path("broker.pem").read_text()
        made.path("keystore.pem").write_text(key_and_chain)
        return made

    def path(self, name: str) -> Path:
        return self.folder / name

    def _authority(self, name: str) -> None:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key")
        self._run("req", "-x509", *key, "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "30")

    def _signed(self, name: str, extension: str, *, authority: str = "ca") -> None:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key")
        self._run("req", *key, "-out", f"{name}.csr", "-subj", f"/CN={name}")
        self.path(f"{name}.ext").write_text(f"{extension}\n")
        by = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial", "-extfile", f"{name}.ext")
        self._run("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "30", *by)

    def _run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


@dataclass(frozen=True)
class Security:
    """Additional, secured listeners of a broker."""

    certificates: Certificates
    ports: Mapping[str, int] = field(default_factory=lambda: {name: free_port() for name in PROTOCOLS})
    format_options: tuple[str, ...] = tuple(
        option
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        for option in ("--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]")
    )

    def address(self, listener: str, host: str = LOOPBACK) -> str:
        return f"{host}:{self.ports[listener]}"

    def listeners(self) -> str:
        """Format the listeners for `listeners` and `advertised.listeners`."""
        return ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in self.ports.items())

    def protocols(self) -> str:
        return ",".join(f"{name}:{protocol}" for name, protocol in PROTOCOLS.items())

    def settings(self) -> dict[str, object]:
        """Return the broker's settings for these listeners."""
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.certificates.path("keystore.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.certificates.path("ca.pem"),
            "listener.name.mutual.ssl.client.auth": "required",
            **self._logins("sasl_plain"),
            **self._logins("sasl_tls"),
        }

    def _logins(self, listener: str) -> dict[str, object]:
        prefix = f"listener.name.{listener}"
        return {
            f"{prefix}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            f"{prefix}.plain.sasl.jaas.config": f'{PLAIN_MODULE} required user_{USER}="{PASSWORD}";',
            f"{prefix}.scram-sha-512.sasl.jaas.config": f"{SCRAM_MODULE} required;",
        }
