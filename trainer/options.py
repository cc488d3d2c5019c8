"""Command-line options of `qc-trainer` that several commands share, or that are long."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qc_worker.options import SettingOption, folder


class AspectFlag(StrEnum):
    """Ways to bring a picture to the input size."""

    SQUASH = "squash"
    PAD = "pad"


class CalibrateByFlag(StrEnum):
    """Sources of the scores that calibrate a threshold."""

    CROSS = "cross"
    SPLIT = "split"


class GroupByFlag(StrEnum):
    """Ways to group good samples."""

    AUTO = "auto"
    SESSION = "session"
    FOLDER = "folder"
    NONE = "none"


class ExportFormatFlag(StrEnum):
    """Layouts that `export` writes."""

    MVTEC = "mvtec"
    COCO = "coco"


class SamplesAction(StrEnum):
    """Actions of `samples`."""

    LIST = "list"
    SHOW = "show"
    REMOVE = "remove"
    RESTORE = "restore"


Line = Annotated[str, typer.Option("--line", help="Production line.")]
SAMPLE_STORE = SettingOption(
    "sample_store",
    Annotated[
        Path | None, typer.Option("--sample-store", help="Folder of the samples.", parser=folder, metavar="PATH")
    ],
)

JudgedBy = Annotated[
    str | None, typer.Option("--version", help="Model version; if not given, the live one, or else the newest.")
]

# Options of `import`.
DataSet = Annotated[
    Path | None,
    typer.Option(
        help="Labelled data set of one product, laid out as MVTec AD, BTAD, VisA or COCO; without its good test images."
    ),
]
GoodFolder = Annotated[Path | None, typer.Option(help="Folder of images of good parts, with its subfolders.")]
DefectFolder = Annotated[Path | None, typer.Option(help="Folder of images of defects, used for tests only.")]
MaskFolder = Annotated[
    Path | None, typer.Option(help="Folder of the defects' masks: NAME_mask.png, NAME.png, NAME/000.png or similar.")
]

# Options of `retrain`.
InputSize = Annotated[
    str, typer.Option(help="Input size of the backbone in pixels: 256, HEIGHTxWIDTH such as 256x384, or auto.")
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        help="Most pixels that --input-size auto may spend on a frame, as a multiple of 256 x 256 pixels: 0.1 to 64. "
        "If not given: 2.5, or with --tiles all pixels of the frames.",
        show_default=False,
    ),
]
Tiles = Annotated[
    int, typer.Option(help="Number of overlapping tiles that the long side is cut into for the backbone.", min=1, max=8)
]
BitDepth = Annotated[
    str,
    typer.Option(
        help="Bits per channel that 16-bit pictures use, from the lowest bit on: 8, 10, 12, 14, 16, or auto: what the "
        "good frames need."
    ),
]
GroupBy = Annotated[
    GroupByFlag,
    typer.Option(
        help="Group good frames to hold out together: by session (from their times) or folder; auto: what is known."
    ),
]
CalibrateBy = Annotated[
    CalibrateByFlag,
    typer.Option(
        help="cross: calibrate the threshold on all good frames, each scored by a head that was fitted without it; "
        "split: calibrate on held-out frames, which bounds the false-reject rate strictly but costs accuracy."
    ),
]
MaxFeatureMib = Annotated[
    int,
    typer.Option(help="Disk space for cached features of all lines; the least recently used go first.", min=1),
]

# Options of `evaluate`.
TestSet = Annotated[
    Path | None,
    typer.Option(
        help="Labelled data set laid out as MVTec AD, BTAD, VisA or COCO. "
        "If not given: the line's own defects, and its good samples that the model has not seen.",
        show_default=False,
    ),
]

# Options of `export`.
ExportFolder = Annotated[Path, typer.Argument(help="New or empty folder to write to.", metavar="FOLDER")]
Format = Annotated[
    ExportFormatFlag,
    typer.Option("--format", help="Layout: folders as in MVTec AD, or COCO with its annotations in JSON."),
]
TestShare = Annotated[float, typer.Option(help="Share of the good samples that is for tests.", min=0.0, max=1.0)]
ReportFile = Annotated[
    Path | None, typer.Option(help="HTML file for a page with figures, charts and images.", metavar="FILE")
]

# Options of `samples`.
SampleIds = Annotated[
    list[str] | None, typer.Argument(help="Samples to show, remove or restore: ids or their first characters.")
]
SampleKind = Annotated[str | None, typer.Option(help="List only these: good, defect, unsure, or a kind of defect.")]
Person = Annotated[
    str | None, typer.Option(help="Name of the person who removes or restores; if not given, the system's user.")
]

# Options of `threshold`.
WhatIf = Annotated[bool, typer.Option("--what-if", help="Print the table with the new value, and change nothing.")]
WithoutBroker = Annotated[
    bool, typer.Option("--offline", help="Connect to no broker: no last inspections; a new version is not announced.")
]
