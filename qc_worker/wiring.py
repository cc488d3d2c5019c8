"""From settings to what both command lines, worker and trainer, need alike."""

import os

import torch

from qc_worker.domain.errors import SettingsError
from qc_worker.settings import Settings
from qc_worker.simplenet.preprocessing import ImageLimits
from qc_worker.transport.kafka_config import KafkaAccess


def kafka_access(settings: Settings) -> KafkaAccess:
    """How to reach the brokers."""
    password = settings.kafka_sasl_password
    return KafkaAccess(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        security_protocol=settings.kafka_security_protocol,
        ssl_cafile=settings.kafka_ssl_cafile,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=password.get_secret_value() if password else None,
    )


def image_limits(settings: Settings) -> ImageLimits:
    return ImageLimits(max_bytes=settings.max_frame_bytes, max_pixels=settings.max_frame_pixels)


def keep_compiled_kernels(settings: Settings) -> None:
    """Let Inductor keep what it compiles in the state folder, so that the next start is short; its own setting wins."""
    folder = settings.state_dir / "compiled-kernels"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # it loads what lies there as code
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
