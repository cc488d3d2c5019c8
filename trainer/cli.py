"""`qc-trainer`: samples in, models out, and which of them is live.

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
from trainer.commands.retrain_flags import RetrainFlags
from trainer.flags import (
    AspectFlag,
    BitDepth,
    CalibrateBy,
    GroupBy,
    InputSize,
    Line,
    MaxCost,
    MaxFeatureMib,
    SampleDir,
    Tiles,
)
from trainer.interrupts import raise_on_terminate

app = typer.Typer(
    help="Teach production lines what good parts look like.", no_args_is_help=True, pretty_exceptions_enable=False
)


@app.command("import")
def import_(
    line: Line,
    dataset: Annotated[
        Path | None,
        typer.Option(help="Labelled data set of one product, as MVTec AD, BTAD or VisA has it; all but its good test."),
    ] = None,
    good: Annotated[Path | None, typer.Option(help="Folder of images of good parts, searched to the bottom.")] = None,
    defect: Annotated[Path | None, typer.Option(help="Folder of images of defects; only ever tested on.")] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Folder of the defects' masks: NAME_mask.png, NAME.png, NAME/000.png or so.")
    ] = None,
    sample_store: SampleDir = None,
    model_store: ModelStoreUrl = None,
    state_dir: StateDir = None,
    kafka: Kafka = None,
    as_json: Json = False,
) -> None:
    """Store images as samples of a line, each once. What is not taken is counted by reason, and files are named."""
    with exit_codes():
        settings = _settings(
            sample_store=sample_store, model_store=model_store, state_dir=state_dir, kafka_bootstrap_servers=kafka
        )
        from trainer.commands.samples import ImportFlags, import_folders

        flags = ImportFlags(line=line, good=good, defect=defect, masks=masks, dataset=dataset)
        import_folders(settings, flags, as_json=as_json)


@app.command()
def regions(
    line: Line,
    ignore: Annotated[
        Path | None, typer.Option(help="PNG (anything but black) or JSON of polygons: what is not judged.")
    ] = None,
    only: Annotated[Path | None, typer.Option(help="The same for what alone is judged.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Judge all of the picture again.")] = False,
    show: Annotated[Path | None, typer.Option(help="Write a good sample to this PNG, hatched where ignored.")] = None,
    sample_store: SampleDir = None,
    state_dir: StateDir = None,
    as_json: Json = False,
) -> None:
    """Say which part of a line's pictures is judged, from the next retrain on; without flags, print it."""
    with exit_codes():
        settings = _settings(sample_store=sample_store, state_dir=state_dir)
        from trainer.commands.regions import RegionFlags
        from trainer.commands.regions import regions as set_regions

        flags = RegionFlags(line=line, ignore=ignore, only=only, clear=clear, show=show)
        set_regions(settings, flags, as_json=as_json)


@app.command()
def retrain(
    line: Line,
    max_false_reject: Annotated[
        float | None,
        typer.Option(help="Share of good frames that may be rejected; 0.01, or what the samples support."),
    ] = None,
    review_rate: Annotated[float | None, typer.Option(help="Share of good frames that may go to review.")] = None,
    seed: Annotated[int, typer.Option(help="Of every random choice.", min=0)] = RetrainFlags.seed,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Train, but collect, store and announce nothing.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no broker; the version stays unannounced.")] = False,
    backbone: Annotated[str, typer.Option(help="Whose features are compared.")] = RetrainFlags.backbone,
    aspect: Annotated[
        AspectFlag, typer.Option(help="How a picture is brought to the input size.")
    ] = RetrainFlags.aspect,
    input_size: InputSize = RetrainFlags.input_size,
    max_cost: MaxCost = None,
    bit_depth: BitDepth = RetrainFlags.bit_depth,
    tiles: Tiles = RetrainFlags.tiles,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.", min=1)] = None,
    group_by: GroupBy = RetrainFlags.group_by,
    calibrate_by: CalibrateBy = RetrainFlags.calibrate_by,
    max_feature_mib: MaxFeatureMib = RetrainFlags.max_feature_mib,
    kafka: Kafka = None,
    model_store: ModelStoreUrl = None,
    sample_store: SampleDir = None,
    state_dir: StateDir = None,
    weights_dir: WeightsDir = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Make a line's next model from its samples and let it go live."""
    with exit_codes():
        settings = _settings(
            kafka_bootstrap_servers=kafka,
            model_store=model_store,
            sample_store=sample_store,
            state_dir=state_dir,
            weights_dir=weights_dir,
            device=device,
        )
        from trainer.commands.retrain import retrain as retrain_line

        flags = RetrainFlags(
            line=line,
            max_false_reject=max_false_reject,
            review_rate=review_rate,
            seed=seed,
            dry_run=dry_run,
            offline=offline,
            backbone=backbone,
            aspect=aspect,
            input_size=input_size,
            tiles=tiles,
            steps=steps,
            max_feature_mib=max_feature_mib,
            group_by=group_by,
            calibrate_by=calibrate_by,
            max_cost=max_cost,
            bit_depth=bit_depth,
        )
        retrain_line(settings, flags, as_json=as_json)


@app.command()
def evaluate(
    line: Line,
    dataset: Annotated[
        Path,
        typer.Option(help="Labelled data set as MVTec AD, BTAD or VisA has it: test/good, test/DEFECT, ground_truth."),
    ],
    version: Annotated[str | None, typer.Option(help="The live version if not given, else the newest.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="File for a page with figures, charts and images: FILE.html.", metavar="FILE")
    ] = None,
    model_store: ModelStoreUrl = None,
    sample_store: SampleDir = None,
    state_dir: StateDir = None,
    weights_dir: WeightsDir = None,
    device: Device = None,
    kafka: Kafka = None,
    as_json: Json = False,
) -> None:
    """Measure a model on labelled images: AUROC, recall at 1, 2 and 5 % false rejects, masks, by kind of defect."""
    with exit_codes():
        settings = _settings(
            kafka_bootstrap_servers=kafka,
            model_store=model_store,
            sample_store=sample_store,
            state_dir=state_dir,
            weights_dir=weights_dir,
            device=device,
        )
        from trainer.commands.evaluate import evaluate as evaluate_model

        evaluate_model(settings, line=line, dataset=dataset, version=version, report=report, as_json=as_json)


@app.command()
def versions(
    line: Line,
    model_store: ModelStoreUrl = None,
    sample_store: SampleDir = None,
    state_dir: StateDir = None,
    kafka: Kafka = None,
    as_json: Json = False,
) -> None:
    """List a line's models, oldest first."""
    with exit_codes():
        settings = _settings(
            sample_store=sample_store, model_store=model_store, state_dir=state_dir, kafka_bootstrap_servers=kafka
        )
        from trainer.commands.releases import print_versions

        print_versions(settings, line=line, as_json=as_json)


@app.command()
def promote(
    line: Line,
    version: Annotated[str, typer.Option(help="Version to let go live.")],
    kafka: Kafka = None,
    model_store: ModelStoreUrl = None,
    sample_store: SampleDir = None,
    state_dir: StateDir = None,
    as_json: Json = False,
) -> None:
    """Let an existing version go live."""
    with exit_codes():
        settings = _settings(
            sample_store=sample_store, model_store=model_store, state_dir=state_dir, kafka_bootstrap_servers=kafka
        )
        from trainer.commands.releases import promote as promote_version

        promote_version(settings, line=line, version=version, as_json=as_json)


@app.command()
def rollback(
    line: Line,
    kafka: Kafka = None,
    model_store: ModelStoreUrl = None,
    sample_store: SampleDir = None,
    state_dir: StateDir = None,
    as_json: Json = False,
) -> None:
    """Go back to the version that was live before this one."""
    with exit_codes():
        settings = _settings(
            sample_store=sample_store, model_store=model_store, state_dir=state_dir, kafka_bootstrap_servers=kafka
        )
        from trainer.commands.releases import rollback as roll_back

        roll_back(settings, line=line, as_json=as_json)


@app.command()
def threshold(
    line: Line,
    max_false_reject: Annotated[
        float | None, typer.Option(help="Move to this share of good frames that may be rejected.")
    ] = None,
    score: Annotated[
        float | None, typer.Option(help="Move to this anomaly score, above which frames are rejected.")
    ] = None,
    review_rate: Annotated[
        float | None, typer.Option(help="Share of good frames that may go to review; 0: none. As before if not given.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="The live version if not given, else the newest.")] = None,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="Print the table with this value; change nothing.")
    ] = False,
    last: Annotated[int, typer.Option(help="How many inspections the table looks back.", min=1, max=100_000)] = 1000,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no broker: no last inspections; a new version stays unannounced.")
    ] = False,
    kafka: Kafka = None,
    model_store: ModelStoreUrl = None,
    sample_store: SampleDir = None,
    state_dir: StateDir = None,
    weights_dir: WeightsDir = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Move a line's threshold without retraining; without a value, show what each would promise and decide."""
    with exit_codes():
        settings = _settings(
            kafka_bootstrap_servers=kafka,
            model_store=model_store,
            sample_store=sample_store,
            state_dir=state_dir,
            weights_dir=weights_dir,
            device=device,
        )
        from trainer.commands.threshold import ThresholdFlags
        from trainer.commands.threshold import threshold as move_threshold

        flags = ThresholdFlags(
            line=line,
            version=version,
            max_false_reject=max_false_reject,
            score=score,
            review_rate=review_rate,
            what_if=what_if,
            last=last,
            offline=offline,
        )
        move_threshold(settings, flags, as_json=as_json)


@app.command()
def lines(
    model_store: ModelStoreUrl = None,
    sample_store: SampleDir = None,
    state_dir: StateDir = None,
    kafka: Kafka = None,
    as_json: Json = False,
) -> None:
    """List the lines that have samples or models."""
    with exit_codes():
        settings = _settings(
            sample_store=sample_store, model_store=model_store, state_dir=state_dir, kafka_bootstrap_servers=kafka
        )
        from trainer.commands.samples import list_lines

        list_lines(settings, as_json=as_json)


@app.command()
def collect(
    follow: Annotated[bool, typer.Option("--follow", help="Go on until interrupted.")] = False,
    kafka: Kafka = None,
    model_store: ModelStoreUrl = None,
    sample_store: SampleDir = None,
    state_dir: StateDir = None,
    as_json: Json = False,
) -> None:
    """Turn operators' feedback into samples."""
    with exit_codes():
        settings = _settings(
            sample_store=sample_store, model_store=model_store, state_dir=state_dir, kafka_bootstrap_servers=kafka
        )
        from trainer.commands.samples import collect as collect_feedback

        collect_feedback(settings, follow=follow, as_json=as_json)


def _settings(**flags: Any) -> Settings:
    settings = load_settings(**flags)
    configure_logging(settings.log_level, settings.log_format)
    raise_on_terminate()
    return settings


def main() -> None:
    """Run the command line."""
    tune_process()
    run_command_line(app)


if __name__ == "__main__":
    main()
