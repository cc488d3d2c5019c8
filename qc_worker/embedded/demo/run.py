"""Runs the whole demo: servers, topics, dashboard, training, worker, then the show."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.demo.dashboard import dashboard_beside
from qc_worker.embedded.demo.gallery import check_writable
from qc_worker.embedded.demo.processes import Trainer, WorkerProgram, child_environment
from qc_worker.embedded.demo.report import DemoReport
from qc_worker.embedded.demo.show import Show, ShowPlan
from qc_worker.embedded.demo.stage import Parts, opened_stage, parts_of_folder, simulated_parts
from qc_worker.observability.printing import console
from qc_worker.ports.clock import Clock
from qc_worker.settings import Settings
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.topics import TopicPlan, ensure_topics

DEFAULT_FRAMES = 1500
FEWEST_FRAMES = 8
RATE_HZ = 15.0
"""Frames per second that a worker with the small backbone sustains on two cores, beside cameras and retrain."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Options of the command line. `frames` None: enough to see every step.

    `stay`: after the last frame cameras go on slowly until Ctrl-C, so that somebody can look around in the dashboard.
    """

    images: Path | None = None
    frames: int | None = None
    seed: int = 0
    rate_hz: float = RATE_HZ
    headless: bool = False
    stay: bool = False
    output: Path = Path("demo-output")


@dataclass(frozen=True, slots=True)
class Wiring:
    """The clock, and functions that turn settings into the demo's connections."""

    clock: Clock
    kafka_access: Callable[[Settings], KafkaAccess]
    topic_plans: Callable[[Settings], Sequence[TopicPlan]]


def run_demo(options: DemoOptions, settings: Settings, wiring: Wiring) -> DemoReport:
    """Train two lines, judge their frames, retrain one of them while frames flow. Raises QcError."""
    # Before anything starts: what is wrong is refused at once.
    frames = _frame_count(options)
    check_writable(options.output)
    own_parts = _parts_of_folder(options, settings, frames)
    say = console(stderr=True).print
    say("starting servers")
    with ExitStack() as stack:
        staged = stack.enter_context(opened_stage(settings))
        access, environment = wiring.kafka_access(staged), child_environment(staged)
        ensure_topics(access, wiring.topic_plans(staged))
        beside = nullcontext() if options.headless else dashboard_beside(environment, staged.state_path, say)
        url = stack.enter_context(beside)
        say("training both lines; frames flow after it")
        parts = own_parts or simulated_parts(staged.state_path / "simulated", seed=options.seed)
        trainer = Trainer(environment)
        retrain_s = _train(trainer, parts, seed=options.seed)
        say("starting the worker")
        worker = stack.enter_context(WorkerProgram(environment, staged.state_path / "worker.log"))
        worker.wait_ready()
        seed, stay = options.seed + len(parts.good), options.stay and url is not None
        plan = ShowPlan(frames, options.rate_hz, seed, retrain_s, options.output, dashboard=url, stay=stay)
        return Show(plan, staged, access=access, clock=wiring.clock, worker=worker, trainer=trainer).run(parts)


def _frame_count(options: DemoOptions) -> int:
    frames = DEFAULT_FRAMES if options.frames is None else options.frames
    if frames < FEWEST_FRAMES:
        raise SettingsError(f"--frames {frames}: the demo needs at least {FEWEST_FRAMES}")
    return frames


def _parts_of_folder(options: DemoOptions, settings: Settings, frames: int) -> Parts | None:
    if options.images is None:
        return None
    embedded = "kafka_bootstrap_servers" not in settings.model_fields_set
    return parts_of_folder(options.images, frames=frames, seed=options.seed, embedded=embedded)


def _train(trainer: Trainer, parts: Parts, *, seed: int) -> float:
    """Train every line; return the seconds that the last one took."""
    spent_s = 0.0
    for number, (line, good) in enumerate(parts.good.items()):
        trainer.import_good(line, good)
        started_s = monotonic()
        trainer.retrain(line, seed=seed + number)
        spent_s = monotonic() - started_s
    return spent_s
