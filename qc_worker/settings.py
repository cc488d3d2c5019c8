"""Defines every setting: flags win over the environment (QC_*), that over qc.toml, that over the defaults.

No other module reads the environment.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, PositiveInt, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from qc_worker.domain.addresses import kafka_address, kafka_topic
from qc_worker.domain.errors import SettingsError
from qc_worker.runtime.home_folder import UNKNOWN_HOME, data_home, expanded
from qc_worker.settings_file import read_toml

CONFIG_VARIABLE = "QC_CONFIG"
CONFIG_FILE = "qc.toml"
MEBIBYTE = 1024 * 1024
MAY_BE_EMPTY = "redis_url"
"""The one setting for which empty has a meaning: no heatmaps."""
DASHBOARD_TABLE = "dashboard"
"""Table of qc.toml with the settings that `qc-dashboard` alone has."""


def _none_if_auto(given: Any) -> Any:
    return None if given == "auto" else given


OR_AUTO = BeforeValidator(_none_if_auto)
"""Accepts `auto` for a number that is chosen at the start; it is None until then."""


class Settings(BaseSettings):
    """All settings. Names are those of qc.toml; environment variables have the same names in capitals, after QC_.

    An empty value counts as unset, wherever it is set: Compose passes a variable that is not set as an empty one.
    """

    model_config = SettingsConfigDict(
        env_prefix="QC_",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=False,  # an unknown home folder is an error only where the state folder is used
    )

    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    """Brokers to connect to first, `host:port`, comma-separated."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Protocol of the connections to the brokers."""
    kafka_ssl_cafile: Path | None = None
    """File with the authority that signed the brokers' certificates, in PEM form; empty: the system's authorities."""
    kafka_ssl_certfile: Path | None = None
    """File with the client's own certificate (mTLS), in PEM form, followed by its chain."""
    kafka_ssl_keyfile: Path | None = None
    """File with the private key of that certificate, in PEM form; empty: it is in the certificate's file."""
    kafka_ssl_key_password: SecretStr | None = None
    """Password of the private key, if it has one; set it in the environment rather than in a file."""
    kafka_ssl_key_password_file: Path | None = None
    """File that holds only this password, as Docker and Kubernetes mount secrets."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """Login mechanism, used if the protocol is SASL_*."""
    kafka_sasl_username: str | None = None
    """User name for the brokers."""
    kafka_sasl_password: SecretStr | None = None
    """Password for the brokers; set it in the environment rather than in a file."""
    kafka_sasl_password_file: Path | None = None
    """File that holds only this password, as Docker and Kubernetes mount secrets."""
    kafka_python_untested: bool = False
    """Accept a version of kafka-python that qc-worker was not tested with; the fixes for the tested one are used."""
    images_topic: str = "images"
    """Topic from which frames are read."""
    results_topic: str = "results"
    """Topic to which inspections are published."""
    dead_letter_topic: str = "images.dlq"
    """Topic to which frames that could not be judged are published."""
    feedback_topic: str = "feedback"
    """Topic with the verdicts of operators."""
    samples_topic: str = "samples"
    """Topic on which the trainer says what it made of each verdict."""
    models_topic: str = "models"
    """Topic on which releases are announced; compacted."""
    partitions: int = Field(default=6, ge=1)
    """Partitions of `images`, `results`, `images.dlq`, `feedback` and `samples` when they are created."""
    replication_factor: int = Field(default=1, ge=1)
    """Copies of each partition when topics are created; 3 in production."""
    consumer_group: str = "qc-worker"
    """Consumer group of the workers; they share the frames."""
    session_timeout_ms: int = Field(default=45_000, ge=1_000)
    """Milliseconds after which a worker that sends no heartbeats loses its partitions."""
    max_poll_interval_ms: int = Field(default=300_000, ge=1_000)
    """Milliseconds after which a worker that sends heartbeats but polls no frames loses its partitions."""
    metadata_max_age_ms: int = Field(default=30_000, ge=1_000)
    """Milliseconds within which partitions that are added to `images` are noticed and assigned."""
    broker_patience_s: float = Field(default=120, gt=0)
    """Seconds that a worker waits for brokers that do not answer before it ends with exit code 75; at its start also
    for a model store that has none of the announced models."""
    delivery: Literal["auto", "exactly-once", "at-least-once"] = "auto"
    """`auto`: exactly once if the broker has transactions, else at least once."""

    # Not in repr: the URL may hold a password.
    redis_url: str = Field(default="redis://127.0.0.1:6379/0", repr=False)
    """Heatmap cache; empty: no heatmaps. `redis://` or `rediss://` (TLS) name one server, `redis+cluster://` a node of
    a Redis Cluster, `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB` Sentinels."""
    redis_timeout_ms: float = Field(default=50, gt=0, le=60_000)
    """Time limit for an answer of the heatmap cache, and for a connection to it, milliseconds; must exceed its round
    trip."""
    heatmap_ttl_s: int = Field(default=86_400, ge=1)
    """Seconds for which heatmaps are kept."""
    heatmap_pass_share: float = Field(default=0.01, ge=0, le=1)
    """Share of passed frames that get a heatmap too."""

    state_dir: Path = Field(default_factory=lambda: data_home() / "qc-worker")
    """Folder of models, samples and caches, unless they have folders of their own."""
    model_store: str = Field(default="", repr=False)
    """Folder or fsspec URL of the model store; empty: `models` in the state folder."""
    sample_store: Path | None = None
    """Folder of the samples; empty: `samples` in the state folder."""
    weights_dir: Path | None = None
    """Folder with backbone weights, `<backbone>.safetensors` or `.pth`; empty: `weights` in the state folder."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`; `auto`: CUDA, or the CPU of a machine without an NVIDIA device."""
    cpu_fallback: bool = False
    """With device `auto`: use the CPU also if an NVIDIA device is there and CUDA cannot be opened."""
    device_patience_s: float = Field(default=60, gt=0)
    """Seconds for which batches may be under way without progress; after that the device hangs, and the worker ends
    with exit code 75."""
    torch_threads: int = Field(default=0, ge=0)
    """Threads of one forward pass on a CPU; 0: one per core."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the backbone. `auto`: bfloat16 if the device has instructions for it; float16 on CUDA devices
    before compute capability 8.0, such as the T4; else float32."""
    compile: bool = True
    """Compile the backbone before the first frame, which takes long at the first start only; without g++ it runs
    uncompiled."""
    max_batch_size: Annotated[int | None, OR_AUTO] = Field(default=None, ge=1, le=256)
    """Most frames in one backbone pass; a frame that is cut into tiles counts as its tiles. `auto`: 8 on a CPU, 64 on
    a GPU."""
    max_wait_ms: float = Field(default=20, ge=0)
    """Longest time that a frame waits for others to share its batch, milliseconds; none waits beside an idle device."""
    decode_threads: Annotated[int | None, OR_AUTO] = Field(default=None, ge=1)
    """Threads that decode images. `auto`: 2 beside a CPU that computes the model (1 on a single core), all cores but
    2 beside a GPU."""
    gpu_decode: bool = False
    """Decode JPEGs on the GPU (nvJPEG), and those that it refuses on the CPU; pixels differ a little from the
    trainer's (CPU)."""
    deadline_ms: dict[str, PositiveInt] = Field(default_factory=dict)
    """Milliseconds from capture to verdict, by line; a frame's own header `deadline-ms` takes precedence."""
    max_in_flight_frames: Annotated[int | None, OR_AUTO] = Field(default=None, ge=1)
    """Most frames in the worker at once. `auto`: 128 with a CPU, 8 batches with a GPU."""
    max_in_flight_bytes: Annotated[int | None, OR_AUTO] = Field(default=None, ge=MEBIBYTE)
    """Most encoded bytes in the worker at once. `auto`: 256 MiB with a CPU, 1 GiB with a GPU."""
    max_frame_bytes: int = Field(default=16 * MEBIBYTE, ge=1024)
    """Largest frame, encoded bytes; larger ones become dead letters."""
    max_frame_pixels: int = Field(default=32_000_000, ge=1024)
    """Largest image, pixels; larger ones become dead letters before they are decoded. The worst formats take 20
    bytes a pixel."""
    give_back_memory_s: float = Field(default=30, ge=0)
    """Seconds between returns of freed memory to the system, each a pause of 10 to 30 ms; 0: never, the process
    keeps its peak."""

    health_host: str = "127.0.0.1"
    """Address of /livez, /readyz and /metrics."""
    health_port: int = Field(default=8080, ge=0, le=65535)
    """Port of /livez, /readyz and /metrics; 0: any free one."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest severity of log lines that are shown."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: readable lines on a terminal, JSON elsewhere."""
    failpoints: str = ""
    """For tests: points at which the process dies, as `after-send=3`."""

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

    @field_validator(
        "images_topic", "results_topic", "dead_letter_topic", "feedback_topic", "samples_topic", "models_topic"
    )
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
        return None if path is None else expanded(path)

    @field_validator("model_store")
    @classmethod
    def _store_at_home(cls, url: str) -> str:
        return str(expanded(Path(url))) if url.startswith("~") else url

    @property
    def state_path(self) -> Path:
        """The state folder. Raises SettingsError if it is not named and the user has no home folder."""
        if self.state_dir.is_relative_to(UNKNOWN_HOME):
            raise SettingsError(f"no home folder for user {os.getuid()}: set QC_STATE_DIR to a state folder")
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
            InitSettingsSource(settings_cls, cls._of_file(read_toml(config_file()))),
        )

    @classmethod
    def _of_file(cls, tables: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in tables.items() if name != DASHBOARD_TABLE}


def config_file() -> Path:
    """Return the path of the settings file, which must exist only if QC_CONFIG names it."""
    return expanded(Path(os.environ.get(CONFIG_VARIABLE) or CONFIG_FILE))


Kind = TypeVar("Kind", bound=Settings)


def load_settings(**flags: Any) -> Settings:
    """Build the settings; flags that are None or empty count as not given. Raises SettingsError."""
    return load_settings_of(Settings, **flags)


def load_settings_of(kind: type[Kind], /, **flags: Any) -> Kind:
    """Build the settings of a program that has more of them. Raises SettingsError."""
    given = {name: flag for name, flag in flags.items() if name == MAY_BE_EMPTY or not _is_empty(flag)}
    try:
        config = config_file()
        if os.environ.get(CONFIG_VARIABLE) and not config.is_file():
            raise SettingsError(f"{CONFIG_VARIABLE} names {config}, which is not a file")
        return kind(**{name: flag for name, flag in given.items() if flag is not None})
    except ValidationError as error:
        raise SettingsError(_described(error.errors(include_url=False, include_input=False)[0])) from None
    except ValueError as error:
        raise SettingsError(str(error)) from None
    except OSError as error:
        raise SettingsError(f"{error.filename} cannot be read: {error.strerror}") from None


def _is_empty(text: object) -> bool:
    return isinstance(text, str) and not text.strip()


def _described(error: Mapping[str, Any]) -> str:
    name = ".".join(map(str, error["loc"])) or "settings"
    return f"{name}: {error['msg'].removeprefix('Value error, ')} (set by flag, QC_{name.upper()} or {CONFIG_FILE})"
