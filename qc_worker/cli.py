"""`qc-worker`: judge frames from Kafka, judge files, prepare topics, keep the books, show it all in a demo.

Commands import what they need when they run: torch alone takes seconds, and `--help` should not.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from qc_worker.flags import Device, Json, Kafka, ModelStoreUrl, StateDir, WeightsDir
from qc_worker.observability.exits import exit_codes, run_command_line
from qc_worker.observability.logging import configure_logging
from qc_worker.runtime.cores_and_memory import tune_process
from qc_worker.settings import Settings, load_settings

app = typer.Typer(
    help="Judge camera frames with one resident SimpleNet per line.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Redis = Annotated[str | None, typer.Option("--redis", help="Heatmap cache, redis://host:port/db; '' for none.")]
Group = Annotated[str | None, typer.Option("--group", help="Consumer group of the workers.")]


@app.command()
def run(
    kafka: Kafka = None,
    redis: Redis = None,
    model_store: ModelStoreUrl = None,
    state_dir: StateDir = None,
    weights_dir: WeightsDir = None,
    device: Device = None,
    group: Group = None,
    max_batch_size: Annotated[int | None, typer.Option(help="Frames in one backbone pass at the most.")] = None,
    max_wait_ms: Annotated[float | None, typer.Option(help="How long a frame waits for its batch to fill.")] = None,
    health_port: Annotated[int | None, typer.Option(help="Port of /livez, /readyz, /metrics; 0: any.")] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, json or console.")] = None,
) -> None:
    """Judge frames from `images` and publish inspections to `results` until told to stop."""
    with exit_codes():
        settings = _settings(
            kafka_bootstrap_servers=kafka,
            redis_url=redis,
            model_store=model_store,
            state_dir=state_dir,
            weights_dir=weights_dir,
            device=device,
            consumer_group=group,
            max_batch_size=max_batch_size,
            max_wait_ms=max_wait_ms,
            health_port=health_port,
            log_format=log_format,
        )
        from qc_worker.commands.run import run_worker

        run_worker(settings)


@app.command()
def topics(
    kafka: Kafka = None,
    partitions: Annotated[int | None, typer.Option(help="Partitions of each topic but `models`.")] = None,
    replication_factor: Annotated[int | None, typer.Option(help="Copies of each partition; 3 in production.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Create nothing; exit code 1 if something differs.")] = False,
    as_json: Json = False,
) -> None:
    """Create the topics that are missing and check the ones that are there."""
    with exit_codes():
        settings = _settings(
            kafka_bootstrap_servers=kafka, partitions=partitions, replication_factor=replication_factor
        )
        from qc_worker.commands.topics import prepare_topics

        raise typer.Exit(prepare_topics(settings, check_only=check, as_json=as_json))


@app.command()
def score(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.", show_default=False)],
    line: Annotated[str, typer.Option("--line", help="Production line whose model judges.")],
    version: Annotated[str | None, typer.Option(help="Model version; the live one if not given.")] = None,
    heatmaps: Annotated[Path | None, typer.Option(help="Write a heatmap of every file into this folder.")] = None,
    as_json: Json = False,
    model_store: ModelStoreUrl = None,
    state_dir: StateDir = None,
    weights_dir: WeightsDir = None,
    device: Device = None,
) -> None:
    """Judge image files without a broker. Exit code 1 if a file could not be judged."""
    with exit_codes():
        settings = _settings(model_store=model_store, state_dir=state_dir, weights_dir=weights_dir, device=device)
        from qc_worker.commands.score import score_files

        raise typer.Exit(
            score_files(settings, line=line, version=version, images=images, heatmap_dir=heatmaps, as_json=as_json)
        )


@app.command()
def account(
    since: Annotated[
        str | None, typer.Option(help="Frames from this time on: ISO 8601 with an offset, or milliseconds since 1970.")
    ] = None,
    line: Annotated[str | None, typer.Option("--line", help="Frames of this production line only.")] = None,
    as_json: Json = False,
    kafka: Kafka = None,
    group: Group = None,
) -> None:
    """Prove that every frame has one inspection, in order. Exit code 1 and the positions where one has not."""
    with exit_codes():
        settings = _settings(kafka_bootstrap_servers=kafka, consumer_group=group)
        from qc_worker.commands.account import account as print_account

        raise typer.Exit(print_account(settings, since=since, line=line, as_json=as_json))


@app.command()
def replay(
    position: Annotated[str, typer.Option("--position", help="The frame: TOPIC:PARTITION:OFFSET.")],
    version: Annotated[str | None, typer.Option(help="Judge with this version instead of the recorded one.")] = None,
    as_json: Json = False,
    kafka: Kafka = None,
    model_store: ModelStoreUrl = None,
    state_dir: StateDir = None,
    weights_dir: WeightsDir = None,
    device: Device = None,
) -> None:
    """Judge a recorded frame again, beside its inspection. Exit code 1 if verdict or score differ."""
    with exit_codes():
        settings = _settings(
            kafka_bootstrap_servers=kafka,
            model_store=model_store,
            state_dir=state_dir,
            weights_dir=weights_dir,
            device=device,
        )
        configure_logging("warning", settings.log_format)  # the pipeline's line per batch is for workers
        from qc_worker.commands.replay import replay as print_replay

        raise typer.Exit(print_replay(settings, position=position, version=version, as_json=as_json))


@app.command()
def demo(
    images: Annotated[Path | None, typer.Option(help="MVTec-style folder instead of the simulation.")] = None,
    frames: Annotated[int | None, typer.Option(help="Stop after this many frames.")] = None,
    as_json: Json = False,
    kafka: Kafka = None,
    redis: Redis = None,
    state_dir: StateDir = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated parts.", min=0)] = 0,
) -> None:
    """Show it all: cameras, workers, heatmaps, a line retrained and taken up while frames flow."""
    with exit_codes():
        settings = _settings(kafka_bootstrap_servers=kafka, redis_url=redis, state_dir=state_dir)
        from qc_worker.commands.demo import show_demo

        raise typer.Exit(show_demo(settings, images=images, frames=frames, seed=seed, as_json=as_json))


def _settings(**flags: Any) -> Settings:
    settings = load_settings(**flags)
    configure_logging(settings.log_level, settings.log_format)
    return settings


def main() -> None:
    """Run the command line."""
    tune_process()
    run_command_line(app)


if __name__ == "__main__":
    main()
