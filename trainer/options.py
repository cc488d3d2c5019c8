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
        help="Labelled data set laid out as MVTec AD, BTAD or VisA: test/good, test/DEFECT, ground_truth. "
        "If not given: the line's own defects, and its good samples that the model has not seen.",
        show_default=False,
    ),
]
