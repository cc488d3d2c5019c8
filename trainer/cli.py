"""`qc-trainer`: import samples, train models, choose which of them is live.

Commands import what they need when they run: torch alone takes seconds, and `--help` should not.
"""

from pathlib import Path
from typing import Annotated

import typer

from qc_worker.observability.exits import run_command_line
from qc_worker.options import DEVICE, KAFKA, MODEL_STORE, STATE_DIR, WEIGHTS_DIR, Json, Version, with_settings
from qc_worker.runtime.cores_and_memory import tune_process
from qc_worker.settings import Settings
from trainer.commands.retrain_flags import RetrainFlags
from trainer.interrupts import raise_on_terminate
from trainer.options import (
    SAMPLE_STORE,
    AspectFlag,
    BitDepth,
    CalibrateBy,
    DataSet,
    DefectFolder,
    ExportFolder,
    Format,
    GoodFolder,
    GroupBy,
    InputSize,
    JudgedBy,
    Line,
    MaskFolder,
    MaxCost,
    MaxFeatureMib,
    Person,
    ReportFile,
    SampleIds,
    SampleKind,
    SamplesAction,
    TestSet,
    TestShare,
    Tiles,
    WhatIf,
    WithoutBroker,
)

app = typer.Typer(name="qc-trainer", no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def trainer(version: Version = False) -> None:  # noqa: ARG001  (its own callback prints it)
    """Manage the samples and models of production lines."""
    raise_on_terminate()


@app.command("import")
@with_settings(SAMPLE_STORE, MODEL_STORE, STATE_DIR, KAFKA)
def import_(
    line: Line,
    dataset: DataSet = None,
    good: GoodFolder = None,
    defect: DefectFolder = None,
    masks: MaskFolder = None,
    *,
    settings: Settings,
    as_json: Json = False,
) -> None:
    """Store images as samples of a line, each once; report the files left out, by reason."""
    from trainer.commands.samples import ImportFlags, import_folders

    flags = ImportFlags(line=line, good=good, defect=defect, masks=masks, dataset=dataset)
    import_folders(settings, flags, as_json=as_json)


@app.command()
@with_settings(SAMPLE_STORE, STATE_DIR)
def regions(
    line: Line,
    ignore: Annotated[
        Path | None, typer.Option(help="Area not to judge: PNG (all pixels but black ones) or JSON of polygons.")
    ] = None,
    only: Annotated[Path | None, typer.Option(help="Only area to judge: PNG or JSON as for --ignore.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Judge the whole picture again.")] = False,
    show: Annotated[
        Path | None, typer.Option(help="PNG file to write a good sample to, with the ignored area hatched.")
    ] = None,
    *,
    settings: Settings,
    as_json: Json = False,
) -> None:
    """Set the area of a line's pictures that is judged, from the next retrain on; without options, print it."""
    from trainer.commands.regions import RegionFlags, set_regions

    flags = RegionFlags(line=line, ignore=ignore, only=only, clear=clear, show=show)
    set_regions(settings, flags, as_json=as_json)


@app.command()
@with_settings(KAFKA, MODEL_STORE, SAMPLE_STORE, STATE_DIR, WEIGHTS_DIR, DEVICE)
def retrain(
    line: Line,
    max_false_reject: Annotated[
        float | None,
        typer.Option(help="Share of good frames that may be rejected; if not given, 0.01 or what the samples support."),
    ] = None,
    review_rate: Annotated[float | None, typer.Option(help="Share of good frames that may go to review.")] = None,
    seed: Annotated[int, typer.Option(help="Seed for all random choices.", min=0)] = RetrainFlags.seed,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Train, but collect, store and announce nothing.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Connect to no broker; the version is not announced.")
    ] = False,
    backbone: Annotated[str, typer.Option(help="Backbone network that computes the features.")] = RetrainFlags.backbone,
    aspect: Annotated[AspectFlag, typer.Option(help="Way to bring a picture to the input size.")] = RetrainFlags.aspect,
    input_size: InputSize = RetrainFlags.input_size,
    max_cost: MaxCost = None,
    bit_depth: BitDepth = RetrainFlags.bit_depth,
    tiles: Tiles = RetrainFlags.tiles,
    steps: Annotated[int | None, typer.Option(help="Number of optimiser steps.", min=1)] = None,
    group_by: GroupBy = RetrainFlags.group_by,
    calibrate_by: CalibrateBy = RetrainFlags.calibrate_by,
    max_feature_mib: MaxFeatureMib = RetrainFlags.max_feature_mib,
    *,
    settings: Settings,
    as_json: Json = False,
) -> None:
    """Train a line's next model from its samples and let it go live."""
    from trainer.commands.retrain import retrain_line

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
@with_settings(MODEL_STORE, SAMPLE_STORE, STATE_DIR, WEIGHTS_DIR, DEVICE, KAFKA)
def evaluate(
    line: Line,
    dataset: TestSet = None,
    version: JudgedBy = None,
    report: ReportFile = None,
    *,
    settings: Settings,
    as_json: Json = False,
) -> None:
    """Measure a model on labelled images: AUROC, recall at 1, 2 and 5 % false rejects and masks, by kind of defect."""
    from trainer.commands.evaluate import evaluate_model

    evaluate_model(settings, line=line, dataset=dataset, version=version, report=report, as_json=as_json)


@app.command()
@with_settings(MODEL_STORE, SAMPLE_STORE, STATE_DIR, KAFKA)
def versions(line: Line, *, settings: Settings, as_json: Json = False) -> None:
    """List a line's models, oldest first."""
    from trainer.commands.releases import print_versions

    print_versions(settings, line=line, as_json=as_json)


@app.command()
@with_settings(KAFKA, MODEL_STORE, SAMPLE_STORE, STATE_DIR)
def promote(
    line: Line,
    version: Annotated[str, typer.Option(help="Version to let go live.")],
    *,
    settings: Settings,
    as_json: Json = False,
) -> None:
    """Make a stored version live."""
    from trainer.commands.releases import promote_version

    promote_version(settings, line=line, version=version, as_json=as_json)


@app.command()
@with_settings(KAFKA, MODEL_STORE, SAMPLE_STORE, STATE_DIR)
def rollback(line: Line, *, settings: Settings, as_json: Json = False) -> None:
    """Go back to the version that was live before the current one."""
    from trainer.commands.releases import roll_back

    roll_back(settings, line=line, as_json=as_json)


@app.command()
@with_settings(KAFKA, MODEL_STORE, SAMPLE_STORE, STATE_DIR, WEIGHTS_DIR, DEVICE)
def threshold(
    line: Line,
    max_false_reject: Annotated[
        float | None, typer.Option(help="New share of good frames that may be rejected.")
    ] = None,
    score: Annotated[float | None, typer.Option(help="New threshold: frames that score higher are rejected.")] = None,
    review_rate: Annotated[
        float | None, typer.Option(help="Share of good frames that may go to review; 0: none; unchanged if not given.")
    ] = None,
    version: JudgedBy = None,
    what_if: WhatIf = False,
    last: Annotated[int, typer.Option(help="Number of last inspections to count.", min=1, max=100_000)] = 1000,
    offline: WithoutBroker = False,
    *,
    settings: Settings,
    as_json: Json = False,
) -> None:
    """Move a line's threshold without retraining; without a value, print a table of possible thresholds."""
    from trainer.commands.threshold import ThresholdFlags, move_threshold

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
@with_settings(MODEL_STORE, SAMPLE_STORE, STATE_DIR, KAFKA)
def lines(settings: Settings, as_json: Json = False) -> None:
    """List the lines that have samples or models."""
    from trainer.commands.samples import list_lines

    list_lines(settings, as_json=as_json)


@app.command()
@with_settings(KAFKA, MODEL_STORE, SAMPLE_STORE, STATE_DIR)
def collect(
    follow: Annotated[bool, typer.Option("--follow", help="Keep collecting until interrupted.")] = False,
    *,
    settings: Settings,
    as_json: Json = False,
) -> None:
    """Store the frames of operators' feedback as samples."""
    from trainer.commands.samples import collect_feedback

    collect_feedback(settings, follow=follow, as_json=as_json)


@app.command()
@with_settings(SAMPLE_STORE, STATE_DIR)
def samples(
    line: Line,
    action: Annotated[SamplesAction, typer.Argument(help="What to do.")] = SamplesAction.LIST,
    ids: SampleIds = None,
    kind: SampleKind = None,
    by: Person = None,
    *,
    settings: Settings,
    as_json: Json = False,
) -> None:
    """List a line's samples with who judged them and when; show their history, remove and restore them."""
    from trainer.commands.sample_list import SamplesFlags, samples_of_line

    flags = SamplesFlags(line=line, action=action, ids=ids or [], kind=kind, by=by)
    samples_of_line(settings, flags, as_json=as_json)


@app.command()
@with_settings(SAMPLE_STORE, STATE_DIR)
def export(
    line: Line,
    folder: ExportFolder,
    form: Format,
    test_share: TestShare = 0.1,
    *,
    settings: Settings,
    as_json: Json = False,
) -> None:
    """Write a line's samples as a labelled data set that other tools read, and `import` too."""
    from trainer.commands.sample_export import export_samples

    export_samples(settings, line=line, folder=folder, form=form, test_share=test_share, as_json=as_json)


def main() -> None:
    """Run the command line."""
    tune_process()
    run_command_line(app)


if __name__ == "__main__":
    main()
