"""`qc-worker`: judge frames from Kafka, judge files, prepare topics, account for every frame, show it all in a demo.

Commands import what they need when they run: torch alone takes seconds, and `--help` should not.
"""

from pathlib import Path
from typing import Annotated

import typer

from qc_worker.observability.exits import run_command_line
from qc_worker.observability.logging import configure_logging
from qc_worker.options import (
    DEVICE,
    KAFKA,
    MODEL_STORE,
    STATE_DIR,
    WEIGHTS_DIR,
    Json,
    SettingOption,
    Version,
    with_settings,
)
from qc_worker.runtime.cores_and_memory import tune_process
from qc_worker.settings import Settings

app = typer.Typer(name="qc-worker", no_args_is_help=True, pretty_exceptions_enable=False)

REDIS = SettingOption(
    "redis_url",
    Annotated[str | None, typer.Option("--redis", help="Heatmap cache as redis://host:port/db; '' for none.")],
)
GROUP = SettingOption(
    "consumer_group", Annotated[str | None, typer.Option("--group", help="Consumer group of the workers.")]
)
MAX_BATCH_SIZE = SettingOption(
    "max_batch_size", Annotated[int | None, typer.Option(help="Largest number of frames in one backbone pass.")]
)
MAX_WAIT_MS = SettingOption(
    "max_wait_ms", Annotated[float | None, typer.Option(help="Longest time a frame waits for its batch to fill.")]
)
HEALTH_PORT = SettingOption(
    "health_port", Annotated[int | None, typer.Option(help="Port of /livez, /readyz and /metrics; 0 for any free one.")]
)
LOG_FORMAT = SettingOption("log_format", Annotated[str | None, typer.Option(help="Log format: auto, json or console.")])
PARTITIONS = SettingOption(
    "partitions", Annotated[int | None, typer.Option(help="Partitions of each topic except `models`.")]
)
REPLICATION_FACTOR = SettingOption(
    "replication_factor",
    Annotated[int | None, typer.Option(help="Number of replicas of each partition; 3 in production.")],
)


@app.callback()
def worker(version: Version = False) -> None:
    """Judge camera frames with one resident SimpleNet model per line."""


@app.command()
@with_settings(
    KAFKA,
    REDIS,
    MODEL_STORE,
    STATE_DIR,
    WEIGHTS_DIR,
    DEVICE,
    GROUP,
    MAX_BATCH_SIZE,
    MAX_WAIT_MS,
    HEALTH_PORT,
    LOG_FORMAT,
)
def run(settings: Settings) -> None:
    """Judge frames from `images` and publish inspections to `results` until SIGTERM or Ctrl-C."""
    from qc_worker.commands.run import run_worker

    run_worker(settings)


@app.command()
@with_settings(KAFKA, PARTITIONS, REPLICATION_FACTOR)
def topics(
    settings: Settings,
    check: Annotated[
        bool, typer.Option("--check", help="Create nothing; exit with code 1 if a topic is missing or differs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create missing topics and check the existing ones."""
    from qc_worker.commands.topics import prepare_topics

    raise typer.Exit(prepare_topics(settings, check_only=check, as_json=as_json))


@app.command()
@with_settings(MODEL_STORE, STATE_DIR, WEIGHTS_DIR, DEVICE)
def score(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.", show_default=False)],
    line: Annotated[str, typer.Option("--line", help="Production line whose model judges.")],
    version: Annotated[str | None, typer.Option(help="Model version; the live one if not given.")] = None,
    heatmaps: Annotated[Path | None, typer.Option(help="Folder to write a heatmap of every file into.")] = None,
    as_json: Json = False,
    *,
    settings: Settings,
) -> None:
    """Judge image files without a broker. Exits with code 1 if a file could not be judged."""
    from qc_worker.commands.score import score_files

    raise typer.Exit(
        score_files(settings, line=line, version=version, images=images, heatmap_dir=heatmaps, as_json=as_json)
    )


@app.command()
@with_settings(KAFKA, GROUP)
def account(
    since: Annotated[
        str | None,
        typer.Option(help="Count frames from this time on: ISO 8601 with an offset, or milliseconds since 1970."),
    ] = None,
    line: Annotated[str | None, typer.Option("--line", help="Count frames of this production line only.")] = None,
    as_json: Json = False,
    *,
    settings: Settings,
) -> None:
    """Prove that every frame has exactly one inspection, in order. Exits with code 1 and the positions if not."""
    from qc_worker.commands.account import account_for_frames

    raise typer.Exit(account_for_frames(settings, since=since, line=line, as_json=as_json))


@app.command()
@with_settings(KAFKA, MODEL_STORE, STATE_DIR, WEIGHTS_DIR, DEVICE)
def replay(
    position: Annotated[str, typer.Option("--position", help="Position of the frame: TOPIC:PARTITION:OFFSET.")],
    version: Annotated[
        str | None, typer.Option(help="Model version to judge with; the recorded one if not given.")
    ] = None,
    frame: Annotated[
        Path | None, typer.Option(help="File with the frame's bytes, if retention has removed the frame.")
    ] = None,
    inspection: Annotated[
        Path | None, typer.Option(help="File with the frame's inspection, JSON; goes with --frame.")
    ] = None,
    as_json: Json = False,
    *,
    settings: Settings,
) -> None:
    """Judge a recorded frame again and compare. Exits with code 1 if verdict or score differ."""
    configure_logging("warning", settings.log_format)  # the pipeline's line per batch is for workers
    from qc_worker.commands.replay import replay_frame

    raise typer.Exit(
        replay_frame(settings, position=position, version=version, kept=(frame, inspection), as_json=as_json)
    )


@app.command()
@with_settings(KAFKA, REDIS, STATE_DIR)
def demo(
    images: Annotated[Path | None, typer.Option(help="MVTec-style folder to use instead of the simulation.")] = None,
    frames: Annotated[int | None, typer.Option(help="Stop after this many frames.")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Leave the dashboard out.")] = False,
    as_json: Json = False,
    *,
    settings: Settings,
    seed: Annotated[int, typer.Option(help="Seed for the simulated parts.", min=0)] = 0,
) -> None:
    """Show everything at work: cameras, workers, heatmaps, dashboard, and a line retrained while frames flow.

    With a dashboard, on a terminal and without --json, cameras go on slowly after the last frame until Ctrl-C.
    """
    from qc_worker.commands.demo import show_demo

    code = show_demo(settings, images=images, frames=frames, seed=seed, headless=headless, as_json=as_json)
    raise typer.Exit(code)


def main() -> None:
    """Run the command line."""
    tune_process()
    run_command_line(app)


if __name__ == "__main__":
    main()
