"""Every setting, in one place: flags win over the environment (QC_*), that over qc.toml, that over the defaults.

The only reader of the environment.
"""

import os
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_data_path
from pydantic import Field, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from qc_worker.domain.errors import SettingsError

CONFIG_VARIABLE = "QC_CONFIG"
MEBIBYTE = 1024 * 1024


class Settings(BaseSettings):
    """Names are those of qc.toml; the environment has them in capitals with QC_ before."""

    model_config = SettingsConfigDict(env_prefix="QC_", extra="forbid", frozen=True, use_attribute_docstrings=True)

    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    """Brokers to ask first, `host:port`, comma-separated."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to talk to the brokers."""
    kafka_ssl_cafile: Path | None = None
    """Certificate authority that signed the brokers' certificates."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How to log in where the protocol is SASL_*."""
    kafka_sasl_username: str | None = None
    """User name at the brokers."""
    kafka_sasl_password: SecretStr | None = None
    """Password at the brokers; better from the environment than from a file."""
    images_topic: str = "images"
    """Frames come from here."""
    results_topic: str = "results"
    """Inspections go here."""
    dead_letter_topic: str = "images.dlq"
    """Frames that could not be judged go here."""
    feedback_topic: str = "feedback"
    """Operators' verdicts come from here."""
    models_topic: str = "models"
    """Releases are announced here; compacted."""
    partitions: int = Field(default=6, ge=1)
    """Partitions of `images`, `results`, `images.dlq` and `feedback` when they are created."""
    replication_factor: int = Field(default=1, ge=1)
    """Copies of each partition when topics are created; 3 in production."""
    consumer_group: str = "qc-worker"
    """Workers of one group share the frames."""
    session_timeout_ms: int = Field(default=45_000, ge=1_000)
    """How long a silent worker keeps its partitions."""
    max_poll_interval_ms: int = Field(default=300_000, ge=1_000)
    """How long a worker that answers the broker but takes no frames keeps its partitions."""
    metadata_max_age_ms: int = Field(default=30_000, ge=1_000)
    """Within this, partitions that are added to `images` are noticed and shared out."""
    broker_patience_s: float = Field(default=120, gt=0)
    """How long a worker waits for brokers that do not answer before it ends with exit code 75, and at its start for a
    model store that has none of the announced models."""
    delivery: Literal["auto", "exactly-once", "at-least-once"] = "auto"
    """`auto`: exactly once where the broker has transactions, else at least once."""

    # Not in repr: the URL may hold a password.
    redis_url: str = Field(default="redis://127.0.0.1:6379/0", repr=False)
    """Heatmap cache; empty: no heatmaps."""
    heatmap_ttl_s: int = Field(default=86_400, ge=1)
    """How long heatmaps are kept."""
    heatmap_pass_share: float = Field(default=0.01, ge=0, le=1)
    """Share of passed frames that get a heatmap too."""

    state_dir: Path = Field(default_factory=lambda: user_data_path("qc-worker"))
    """Where models, samples and caches live unless said otherwise."""
    model_store: str = Field(default="", repr=False)
    """Folder or fsspec URL of the model store; empty: `models` in the state folder."""
    sample_store: Path | None = None
    """Folder of the samples; empty: `samples` in the state folder."""
    weights_dir: Path | None = None
    """Folder with backbone weights, `<backbone>.safetensors` or `.pth`; empty: `weights` in the state folder."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    torch_threads: int = Field(default=0, ge=0)
    """Threads of one forward pass on a CPU; 0: one per core."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 where the device is made for it, else float32."""
    compile: bool = True
    """Compile the backbone before the first frame: takes long at the first start only; without g++ it is left plain."""
    max_batch_size: int = Field(default=8, ge=1, le=256)
    """Frames in one backbone pass at the most; a frame that is cut into tiles counts as its tiles."""
    max_wait_ms: float = Field(default=20, ge=0)
    """How long a frame waits for others to share its batch."""
    decode_threads: int = Field(default=2, ge=1)
    """Threads that decode images."""
    gpu_decode: bool = False
    """Decode JPEGs on the GPU (nvJPEG), what it refuses on the CPU; pixels differ a little from the trainer's (CPU)."""
    deadline_ms: dict[str, PositiveInt] = Field(default_factory=dict)
    """Milliseconds from capture to verdict, by line; a frame's own header `deadline-ms` wins."""
    max_in_flight_frames: int = Field(default=128, ge=1)
    """Frames in the worker at once."""
    max_in_flight_bytes: int = Field(default=256 * MEBIBYTE, ge=MEBIBYTE)
    """Encoded bytes in the worker at once."""
    max_frame_bytes: int = Field(default=16 * MEBIBYTE, ge=1024)
    """Larger frames become dead letters."""
    max_frame_pixels: int = Field(default=32_000_000, ge=1024)
    """Images with more pixels become dead letters, before they are decoded; the worst formats take 20 bytes a pixel."""
    give_back_memory_s: float = Field(default=30, ge=0)
    """How often freed memory goes back to the system, a pause of 10 to 30 ms; 0: never, the process keeps its peak."""

    health_host: str = "127.0.0.1"
    """Address of /livez, /readyz and /metrics."""
    health_port: int = Field(default=8080, ge=0, le=65535)
    """Port of /livez, /readyz and /metrics; 0: any free one."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log lines shown."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: for people on a terminal, JSON elsewhere."""
    failpoints: str = ""
    """For tests: where the process is to die, as `after-send=3`."""

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _has_host_and_port(cls, text: str) -> str:
        for address in text.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"{address.strip()!r} is not host:port")
        return text

    @property
    def model_store_url(self) -> str:
        return self.model_store or str(self.state_dir / "models")

    @property
    def sample_dir(self) -> Path:
        return self.sample_store or self.state_dir / "samples"

    @property
    def weights_path(self) -> Path:
        return self.weights_dir or self.state_dir / "weights"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (pydantic-settings' signature)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        config = Path(os.environ.get(CONFIG_VARIABLE, "qc.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config)


def load_settings(**flags: Any) -> Settings:
    """Build the settings; flags that are None were not given. Raises SettingsError."""
    config = os.environ.get(CONFIG_VARIABLE)
    if config and not Path(config).is_file():
        raise SettingsError(f"{CONFIG_VARIABLE} names {config}, which is not a file")
    try:
        return Settings(**{name: flag for name, flag in flags.items() if flag is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"])) or "settings"
        raise SettingsError(f"{name}: {first['msg']} (set by flag, QC_{name.upper()} or qc.toml)") from None
    except ValueError as error:
        raise SettingsError(f"qc.toml: {error}") from None
