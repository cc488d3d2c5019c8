"""Every setting, in one place: flags win over the environment (QC_*), that over qc.toml, that over the defaults.

The only reader of the environment.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_data_path
from pydantic import Field, PositiveInt, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from qc_worker.domain.addresses import kafka_address, kafka_topic
from qc_worker.domain.errors import SettingsError
from qc_worker.settings_file import read_toml

CONFIG_VARIABLE = "QC_CONFIG"
CONFIG_FILE = "qc.toml"
MEBIBYTE = 1024 * 1024
MAY_BE_EMPTY = "redis_url"
"""The one setting to which empty means something: no heatmaps."""

UNKNOWN_HOME = Path("~")


class Settings(BaseSettings):
    """Names are those of qc.toml; the environment has them in capitals with QC_ before.

    Empty means unset, wherever it stands: Compose passes a variable that is not set as an empty one.
    """

    model_config = SettingsConfigDict(
        env_prefix="QC_",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=False,  # an unknown home folder matters to who uses the state folder only
    )

    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    """Brokers to ask first, `host:port`, comma-separated."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to talk to the brokers."""
    kafka_ssl_cafile: Path | None = None
    """Certificate authority that signed the brokers' certificates."""
    kafka_ssl_certfile: Path | None = None
    """Certificate by which the client shows who it is (mTLS), in PEM form, its chain after it."""
    kafka_ssl_keyfile: Path | None = None
    """Private key of that certificate, in PEM form; empty: it lies in the same file."""
    kafka_ssl_key_password: SecretStr | None = None
    """Password of the private key where it has one; better from the environment than from a file."""
    kafka_ssl_key_password_file: Path | None = None
    """File that holds this password and nothing else, as Docker and Kubernetes mount secrets."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How to log in where the protocol is SASL_*."""
    kafka_sasl_username: str | None = None
    """User name at the brokers."""
    kafka_sasl_password: SecretStr | None = None
    """Password at the brokers; better from the environment than from a file."""
    kafka_sasl_password_file: Path | None = None
    """File that holds this password and nothing else, as Docker and Kubernetes mount secrets."""
    kafka_python_untested: bool = False
    """Accept a version of kafka-python that qc-worker was not tested with; the fixes for the tested one are used."""
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
    """Heatmap cache; empty: no heatmaps. `redis://` or `rediss://` (TLS) name one server, `redis+cluster://` a node of
    a Redis Cluster, `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB` Sentinels."""
    redis_timeout_ms: float = Field(default=50, gt=0, le=60_000)
    """How long an answer of the heatmap cache is waited for, and a connection to it; more than its round trip."""
    heatmap_ttl_s: int = Field(default=86_400, ge=1)
    """How long heatmaps are kept."""
    heatmap_pass_share: float = Field(default=0.01, ge=0, le=1)
    """Share of passed frames that get a heatmap too."""

    state_dir: Path = Field(default_factory=lambda: _data_home() / "qc-worker")
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

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, given: Any) -> Any:
        return {name: text for name, text in given.items() if name == MAY_BE_EMPTY or not _is_empty(text)}

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _has_host_and_port(cls, text: str) -> str:
        for address in text.split(","):
            kafka_address(address)
        return text

    @field_validator("images_topic", "results_topic", "dead_letter_topic", "feedback_topic", "models_topic")
    @classmethod
    def _is_topic(cls, name: str) -> str:
        return kafka_topic(name)

    @field_validator(
        "state_dir",
        "sample_store",
        "weights_dir",
        "kafka_ssl_cafile",
        "kafka_ssl_certfile",
        "kafka_ssl_keyfile",
        "kafka_ssl_key_password_file",
        "kafka_sasl_password_file",
    )
    @classmethod
    def _at_home(cls, path: Path | None) -> Path | None:
        return None if path is None else _expanded(path)

    @field_validator("model_store")
    @classmethod
    def _store_at_home(cls, url: str) -> str:
        return str(_expanded(Path(url))) if url.startswith("~") else url

    @property
    def state_path(self) -> Path:
        """The state folder. Raises SettingsError if it is not named and the user has no home folder."""
        if self.state_dir.is_relative_to(UNKNOWN_HOME):
            raise SettingsError(f"no home folder for user {os.getuid()}: name the state folder by QC_STATE_DIR")
        return self.state_dir

    @property
    def model_store_url(self) -> str:
        return self.model_store or str(self.state_path / "models")

    @property
    def sample_dir(self) -> Path:
        return self.sample_store or self.state_path / "samples"

    @property
    def weights_path(self) -> Path:
        return self.weights_dir or self.state_path / "weights"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (pydantic-settings' signature)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        empty = {MAY_BE_EMPTY: ""} if os.environ.get(f"QC_{MAY_BE_EMPTY.upper()}") == "" else {}
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, empty),
            InitSettingsSource(settings_cls, read_toml(config_file())),
        )


def config_file() -> Path:
    """The settings file, which need not be there unless QC_CONFIG names it."""
    return _expanded(Path(os.environ.get(CONFIG_VARIABLE) or CONFIG_FILE))


def load_settings(**flags: Any) -> Settings:
    """Build the settings; flags that are None or empty were not given. Raises SettingsError."""
    given = {name: flag for name, flag in flags.items() if name == MAY_BE_EMPTY or not _is_empty(flag)}
    try:
        config = config_file()
        if os.environ.get(CONFIG_VARIABLE) and not config.is_file():
            raise SettingsError(f"{CONFIG_VARIABLE} names {config}, which is not a file")
        return Settings(**{name: flag for name, flag in given.items() if flag is not None})
    except ValidationError as error:
        raise SettingsError(_described(error.errors(include_url=False, include_input=False)[0])) from None
    except ValueError as error:
        raise SettingsError(str(error)) from None
    except OSError as error:
        raise SettingsError(f"{error.filename} cannot be read: {error.strerror}") from None


def _data_home() -> Path:
    """The user's folder for what programs keep; in UNKNOWN_HOME where HOME is unset and passwd has no entry."""
    try:
        folder = user_data_path()
    except RuntimeError:
        return UNKNOWN_HOME
    return folder if folder.is_absolute() else UNKNOWN_HOME


def _is_empty(text: object) -> bool:
    return isinstance(text, str) and not text.strip()


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path}: no home folder is known for this user; write the whole path") from None


def _described(error: Mapping[str, Any]) -> str:
    name = ".".join(map(str, error["loc"])) or "settings"
    return f"{name}: {error['msg'].removeprefix('Value error, ')} (set by flag, QC_{name.upper()} or {CONFIG_FILE})"
