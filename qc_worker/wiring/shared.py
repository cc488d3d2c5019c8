"""From settings to what both command lines, worker and trainer, need alike."""

import os
from contextlib import suppress
from pathlib import Path

import torch
from pydantic import SecretStr

from qc_worker.domain.errors import SettingsError
from qc_worker.imaging.preprocessing import ImageLimits
from qc_worker.runtime.state_folder import usable
from qc_worker.settings import Settings
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.connecting.credentials import read_secret
from qc_worker.transport.kafka_fixes.register import install_all


def kafka_access(settings: Settings) -> KafkaAccess:
    """Install the fixes of kafka-python and return how to reach the brokers.

    Raises SettingsError for a version of kafka-python that cannot be used and for a file with a password that cannot be
    read.
    """
    install_fixes(settings)
    return KafkaAccess(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        security_protocol=settings.kafka_security_protocol,
        ssl_cafile=settings.kafka_ssl_cafile,
        ssl_certfile=settings.kafka_ssl_certfile,
        ssl_keyfile=settings.kafka_ssl_keyfile,
        ssl_key_password=_secret(settings, "kafka_ssl_key_password"),
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=_secret(settings, "kafka_sasl_password"),
    )


def install_fixes(settings: Settings) -> None:
    """Install the fixes of kafka-python in this process, once, before it opens a client.

    Raises SettingsError for a version that is not tested, unless the settings allow it.
    """
    install_all(allow_untested=settings.kafka_python_untested)


def _secret(settings: Settings, name: str) -> str | None:
    """A password as it stands in the settings, or in the file that they name for it."""
    given: SecretStr | None = getattr(settings, name)
    path: Path | None = getattr(settings, f"{name}_file")
    if given is None:
        return None if path is None else read_secret(f"{name}_file", path)
    if path is not None:
        raise SettingsError(f"{name} and {name}_file are both set: leave one out")
    return given.get_secret_value()


def image_limits(settings: Settings) -> ImageLimits:
    return ImageLimits(max_bytes=settings.max_frame_bytes, max_pixels=settings.max_frame_pixels)


def keep_compiled_kernels(settings: Settings) -> None:
    """Let Inductor keep what it compiles in the state folder, so that the next start is short; its own setting wins.

    Raises SettingsError if it cannot write there.
    """
    folder = usable(settings.state_path) / "compiled-kernels"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)  # it loads what lies there as code
    usable(folder)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def compute_device(settings: Settings) -> torch.device:
    """The device to compute on; also sets how many threads a CPU may use. Raises SettingsError."""
    torch.set_num_threads(settings.torch_threads or len(os.sched_getaffinity(0)))
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"device {name} cannot be used here: {str(error).splitlines()[0]}") from None
