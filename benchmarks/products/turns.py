"""Run every side of `accuracy.py` on every product with every seed, except runs that are in the cache."""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness.machine import versions
from benchmarks.products.one_run import Product, Run, RunCache, source_digest, stamp_of
from benchmarks.products.ours import Adjust, Ours, our_sides
from benchmarks.rivals.accuracy import Rival, Seen, run_rival, see
from qc_worker.imaging.aspect import InputSize
from qc_worker.settings import Settings
from qc_worker.simplenet.backbones.backbone import load_backbone
from qc_worker.simplenet.checkpoint import file_sha256
from trainer.fitting.defaults import defaults_for

ROOT = Path(__file__).parents[2]
OUR_CODE = tuple(
    ROOT / folder for folder in ("qc_worker/domain", "qc_worker/imaging", "qc_worker/simplenet", "trainer")
)
RIVALS_CODE = (ROOT / "benchmarks" / "rivals" / "accuracy.py", ROOT / "benchmarks" / "rivals" / "anomalib.py")
"""Our code around anomalib; anomalib itself counts by its version."""
SIZE_OF_OURS = "size of ours"

Runs = dict[str, dict[str, list[Run]]]
"""Runs by side and product, one for each seed."""


@dataclass(frozen=True, slots=True)
class Task:
    """Settings of the runs, the same for every product."""

    backbone: str
    weights: Path
    seeds: int
    input_size: str
    """Value of `--input-size` for our side."""
    rivals: tuple[Rival, ...]

    @property
    def own_side(self) -> int:
        """Side of the backbone's own input, pixels."""
        return defaults_for(self.backbone).input_size

    @property
    def own_size(self) -> str:
        """Name of that size in the rows of rivals."""
        return f"{self.own_side} px"


@dataclass(slots=True)
class Bench:
    """All runs; the sides take turns."""

    task: Task
    scratch: Path
    cache: RunCache
    runs: Runs = field(default_factory=dict, init=False)
    _seen: dict[InputSize, Seen] = field(default_factory=dict, init=False)
    """Feature maps of the current product, by input size."""
    _code: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        rivals = "".join(file_sha256(path) for path in RIVALS_CODE) + versions().get("anomalib", "")
        self._code = {"weights": file_sha256(self.task.weights), "ours": source_digest(OUR_CODE), "rivals": rivals}

    def run(self, product: Product) -> None:
        """Run all sides on one product. Raises QcError."""
        self._seen.clear()
        ours = Ours(product, self._settings(product), self.task.backbone, self.task.input_size)
        for seed in range(self.task.seeds):
            found = [self._ours(ours, side, adjust, seed) for side, adjust in our_sides().items()]
            for rival in self.task.rivals:
                for where, input_size in self._sizes(found[0]):
                    self._note(f"{rival.name}, {where}", self._rival(rival, product, input_size, seed))

    def _settings(self, product: Product) -> Settings:
        """Make settings with folders of this product only; they override the environment."""
        folder = self.scratch / product.name
        weights_dir = folder / "weights"
        weights_dir.mkdir(parents=True)
        (weights_dir / f"{self.task.backbone}{self.task.weights.suffix}").symlink_to(self.task.weights.resolve())
        return Settings(
            state_dir=folder,
            model_store=str(folder / "models"),
            sample_store=folder / "samples",
            weights_dir=weights_dir,
        )

    def _sizes(self, ours: Run) -> Iterator[tuple[str, InputSize]]:
        yield self.task.own_size, (self.task.own_side, self.task.own_side)
        yield SIZE_OF_OURS, ours.input_size

    def _ours(self, ours: Ours, side: str, adjust: Adjust, seed: int) -> Run:
        name = self._name(ours.product, side, seed, {"code": self._code["ours"], "input_size": self.task.input_size})
        run = self.cache.get(name)
        if run is None:
            run = ours.run(side, adjust, seed)
            self._keep(name, run)
        self._note(side, run)
        return run

    def _rival(self, rival: Rival, product: Product, input_size: InputSize, seed: int) -> Run:
        facts = {"code": self._code["rivals"], "input_size": input_size, "greedy": rival.greedy}
        name = self._name(product, rival.name, seed, facts)
        run = self.cache.get(name)  # already cached if our side chose the backbone's own size
        if run is None:
            run = run_rival(rival, self._see(product, input_size), seed)
            self._keep(name, run)
        return run

    def _see(self, product: Product, input_size: InputSize) -> Seen:
        if input_size not in self._seen:
            strides = tuple(sorted({stride for rival in self.task.rivals for stride in rival.levels}))
            weights = self.task.weights
            backbone = load_backbone(self.task.backbone, levels=strides, weights_dir=self.scratch, file=weights)
            seen = see(product, backbone, weights, scratch=self.scratch, input_size=input_size)
            self._seen[input_size] = seen
        return self._seen[input_size]

    def _name(self, product: Product, side: str, seed: int, facts: Mapping[str, object]) -> str:
        everything = {**facts, "data": product.digest, "backbone": self.task.backbone, "weights": self._code["weights"]}
        readable = re.sub(r"[^A-Za-z0-9+]+", "-", f"{product.name}-{side}-seed{seed}")
        return f"{readable}-{stamp_of({**everything, 'name': product.name, 'side': side})}"

    def _keep(self, name: str, run: Run) -> None:
        self.cache.put(name, run)
        height, width = run.input_size
        figures = f"image AUROC {run.overall.image_auroc:.3f}, recall at 1 % {run.overall.recall_at['0.01']:.3f}"
        spent = f"{run.train_s:.1f} s to train, {run.judge_s:.1f} to judge"
        print(f"{run.product}, seed {run.seed}, {run.side}, {height}x{width}: {figures}, {spent}", file=sys.stderr)

    def _note(self, side: str, run: Run) -> None:
        self.runs.setdefault(side, {}).setdefault(run.product, []).append(run)


def strides_of(text: str) -> tuple[int, ...]:
    """Parse strides such as `8+16`. Raises ValueError."""
    return tuple(int(stride) for stride in text.split("+"))
