"""A trainer's workshop for tests: tiny pictures, the real backbone, a broker in memory."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from qc_worker.imaging.aspect import InputSize
from qc_worker.ports.models import ReleaseLog
from qc_worker.registry.releasing import Releaser
from qc_worker.registry.store import FsspecModelStore
from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.models import MemoryReleaseLog
from tests.support.factories import NOON, ManualClock
from tests.unit.trainer.factories import INPUT_SIZE, LIMITS, LINE, filled_store, small_scorer
from trainer.features.cache import FeatureCache
from trainer.fitting.split import CalibrateBy
from trainer.progress import stages
from trainer.retrain import Retrained, Retrainer, RetrainRequest, SizedScorer
from trainer.samples.groups import GroupBy

QUICK = FitSettings(
    steps=60,
    patches_per_step=256,
    sigmas=(2.0,),
    discriminator_lr=5e-3,
    components=4,
    distance_weights=(1.0, 1.0),
    discriminators=((0, 1),),
    hidden=32,
    synthetic_shares=(0.5,),
    synthetic_frames=24,
    patches_per_frame=256,
)
REQUEST = RetrainRequest(
    LINE,
    QUICK,
    max_false_reject=None,
    review_rate=None,
    seed=0,
    dry_run=False,
    calibrate_by=CalibrateBy.CROSS,
    group_by=GroupBy.AUTO,
)
SPLIT = replace(REQUEST, calibrate_by=CalibrateBy.SPLIT)


class LaterClock(ManualClock):
    """A second passes between two looks: two retrains of the same samples never give one version twice."""

    def now(self) -> datetime:
        self.advance(1)
        return NOON + timedelta(seconds=self.seconds)


class Workshop:
    """A sample store, a model store and a broker in memory."""

    def __init__(
        self,
        folder: Path,
        *,
        good: int = 24,
        defect: int = 0,
        input_size: InputSize = (INPUT_SIZE, INPUT_SIZE),
        tiles: int = 1,
    ) -> None:
        self.folder = folder
        self.input_size = input_size
        self.tiles = tiles
        self.samples = filled_store(folder / "samples", good=good, defect=defect)
        self.models = FsspecModelStore(str(folder / "models"))
        self.broker = MemoryBroker(partitions=1)
        self.broker.create_topic("models", partitions=1)
        self.releases = MemoryReleaseLog(self.broker, topic="models")
        self.clock = LaterClock()

    def retrain(self, request: RetrainRequest = REQUEST, *, offline: bool = False) -> Retrained:
        with stages() as shown:
            return self.retrainer(None if offline else self.releases).run(request, shown)

    def retrainer(self, releases: ReleaseLog | None) -> Retrainer:
        return Retrainer(
            scorer=lambda _: SizedScorer(
                small_scorer(self.folder, input_size=self.input_size, tiles=self.tiles), "as the test asks"
            ),
            samples=self.samples,
            models=self.models,
            collect=None,
            releases=releases,
            features=FeatureCache(self.folder / "features", max_bytes=1 << 30),
            clock=self.clock,
            limits=LIMITS,
            decode_threads=2,
        )

    def releaser(self) -> Releaser:
        return Releaser(self.models, self.releases, self.clock)
