"""Command-line options that `qc-worker` and `qc-trainer` share, and the settings made of them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from qc_worker.observability.exits import exit_codes
from qc_worker.observability.logging import configure_logging
from qc_worker.settings import Settings, load_settings_of


@dataclass(frozen=True, slots=True)
class SettingOption:
    """An option that overrides the setting of that name."""

    setting: str
    annotation: Any


def with_settings(
    *options: SettingOption, kind: type[Settings] = Settings
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command its `settings` of that kind, with `options` in place of that parameter on the command line.

    The command runs with logging configured; its errors become one line and an exit code.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            with exit_codes():
                flags = {option.setting: given.pop(option.setting) for option in options}
                settings = load_settings_of(kind, **flags)
                configure_logging(settings.log_level, settings.log_format)
                command(settings=settings, **given)

        signature = _with_options(inspect.signature(command), options)
        # Typer reads both.
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
        return run

    return decorate


def _with_options(signature: inspect.Signature, options: tuple[SettingOption, ...]) -> inspect.Signature:
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "settings":
            parameters += [_parameter(option) for option in options]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    return signature.replace(parameters=parameters)


def _parameter(option: SettingOption) -> inspect.Parameter:
    return inspect.Parameter(option.setting, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option.annotation)


def folder(text: str) -> Path | None:
    """Parse the folder that an option names; an empty text, as of a shell variable that is not set, names none."""
    return Path(text) if text.strip() else None


def _print_version(context: typer.Context, *, wanted: bool) -> None:
    if wanted:
        typer.echo(f"{context.command.name} {metadata.version('qc-worker')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else.")]

KAFKA = SettingOption(
    "kafka_bootstrap_servers",
    Annotated[str | None, typer.Option("--kafka", help="Kafka brokers as host:port, comma-separated.")],
)
MODEL_STORE = SettingOption(
    "model_store", Annotated[str | None, typer.Option("--model-store", help="Folder or fsspec URL of the model store.")]
)
STATE_DIR = SettingOption(
    "state_dir",
    Annotated[
        Path | None,
        typer.Option(
            "--state-dir", help="Folder for models, samples, weights and caches.", parser=folder, metavar="PATH"
        ),
    ],
)
WEIGHTS_DIR = SettingOption(
    "weights_dir",
    Annotated[
        Path | None,
        typer.Option("--weights-dir", help="Folder of the backbones' weights files.", parser=folder, metavar="PATH"),
    ],
)
DEVICE = SettingOption(
    "device",
    Annotated[str | None, typer.Option("--device", help="Device to compute on: auto, cpu, cuda or cuda:N.")],
)
