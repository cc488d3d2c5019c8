"""Turn a batch's scores and maps into outcomes: calibration, defects, mask, heatmap."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.domain.inspection import Defect, Inspection, Mask, Outcome, StageTimings, Verdict
from qc_worker.engine.decoding import Decoded
from qc_worker.engine.inference import Inferred
from qc_worker.engine.intake import failure
from qc_worker.imaging.defects import SEEN_BY_PEOPLE, published_defects
from qc_worker.observability import metrics
from qc_worker.ports.clock import Clock
from qc_worker.simplenet.inference.precision import NumberFormat


class HeatmapDesk(Protocol):
    """Take orders for heatmaps."""

    def offer(self, decoded: Decoded, anomaly_map: np.ndarray) -> str | None:
        """Order a heatmap and return its key in the cache; None if it will not be made."""
        ...


@dataclass(frozen=True, slots=True)
class Judged:
    """Outcomes of a batch, in its order, and the time that the model took."""

    outcomes: Sequence[Outcome]
    inference_ms: float


@dataclass(frozen=True, slots=True)
class _Maps:
    """Maps of a frame that people will look at, and the time of reading them."""

    anomaly_map: npt.NDArray[np.float32]
    mask_map: npt.NDArray[np.float32]
    """The anomaly map again if the frame passes."""
    read_s: float
    """Its share, as the maps of a batch are read together."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """A frame with its score, and its maps if they were read."""

    decoded: Decoded
    score: float
    verdict: Verdict
    maps: _Maps | None


@dataclass(frozen=True, slots=True)
class _Findings:
    """Verdict of a frame, and the pictures of it for people."""

    verdict: Verdict
    defects: tuple[Defect, ...] = ()
    mask: Mask | None = None
    heatmap_key: str | None = None


class Judge:
    """Turn scores into inspections, beside the next batch's inference."""

    def __init__(self, heatmaps: HeatmapDesk, clock: Clock, *, heatmap_pass_share: float) -> None:
        self._heatmaps = heatmaps
        self._clock = clock
        self._heatmap_pass_share = heatmap_pass_share

    def judge(self, inferred: Inferred) -> Judged:
        """Make one outcome per frame, in the batch's order. Waits until the device has computed the batch."""
        scores = inferred.scored.scores.tolist()
        seconds = self._clock.monotonic() - inferred.started_at
        metrics.INFERENCE_SECONDS.observe(seconds)
        frames = self._with_maps(inferred, scores)
        return Judged([self._outcome(inferred, frame, 1000 * seconds) for frame in frames], 1000 * seconds)

    def _with_maps(self, inferred: Inferred, scores: Sequence[float]) -> list[_Scored]:
        """Decide the verdicts, and read the maps of all frames that people will look at in one go.

        A read of its own for each of them would wait for the device each time.
        """
        pairs = list(zip(inferred.batch, scores, strict=True))
        verdicts = [decoded.resident.calibration.verdict(score) for decoded, score in pairs]
        maps = self._read_maps(inferred, verdicts)
        return [
            _Scored(decoded, score, verdicts[index], maps.get(index)) for index, (decoded, score) in enumerate(pairs)
        ]

    def _read_maps(self, inferred: Inferred, verdicts: Sequence[Verdict]) -> dict[int, _Maps]:
        started = self._clock.monotonic()
        seen = [index for index, verdict in enumerate(verdicts) if verdict in SEEN_BY_PEOPLE]
        sampled = [
            index
            for index, verdict in enumerate(verdicts)
            if verdict is Verdict.PASS and _sampled(inferred.batch[index], self._heatmap_pass_share)
        ]
        wanted = seen + sampled
        if not wanted:
            return {}
        maps = dict(zip(wanted, inferred.scored.maps_of(wanted), strict=True))
        mask_maps = maps | dict(zip(seen, inferred.scored.mask_maps_of(seen), strict=True))
        read_s = (self._clock.monotonic() - started) / len(wanted)
        return {index: _Maps(maps[index], mask_maps[index], read_s) for index in wanted}

    def _outcome(self, inferred: Inferred, frame: _Scored, inference_ms: float) -> Outcome:
        decoded = frame.decoded
        if frame.verdict is Verdict.ERROR:
            broken = InvalidFrame(Reason.MODEL_FAILED, f"the model's score is {frame.score}")
            return failure(decoded.ticket, broken, self._clock)
        started = self._clock.monotonic() - (frame.maps.read_s if frame.maps else 0.0)
        found = self._findings(frame)
        timings = self._stage_ms(decoded, inferred.started_at, inference_ms, started)
        return Outcome(self._inspection(frame, found, timings, inferred.scored.precision), _key(decoded))

    def _findings(self, frame: _Scored) -> _Findings:
        """Find defects and mask, and order a heatmap, if people will look at the frame; else only keep the verdict."""
        decoded = frame.decoded
        if frame.maps is None:
            return _Findings(frame.verdict)
        defects, mask = published_defects(
            frame.maps.anomaly_map,
            frame.maps.mask_map,
            frame.verdict,
            decoded.resident.calibration,
            image_size=decoded.picture.image_size,
            aspect=decoded.spec.aspect,
        )
        return _Findings(frame.verdict, defects, mask, self._heatmaps.offer(decoded, frame.maps.anomaly_map))

    def _inspection(
        self, scored: _Scored, found: _Findings, timings: StageTimings, precision: NumberFormat
    ) -> Inspection:
        decoded, score = scored.decoded, scored.score
        resident, frame = decoded.resident, decoded.frame
        return Inspection(
            frame_id=frame.frame_id,
            line=frame.line,
            camera=frame.camera,
            captured_at=frame.captured_at,
            part=frame.part,
            scored_at=self._clock.now(),
            source=frame.position,
            verdict=found.verdict,
            model_version=resident.version,
            precision=precision,
            score=score,
            p_value=resident.calibration.p_value(score),
            threshold=resident.calibration.threshold,
            image_size=decoded.picture.image_size,
            defects=found.defects,
            mask=found.mask,
            heatmap_key=found.heatmap_key,
            late=decoded.ticket.is_late(self._clock.monotonic()),
            notes=tuple(map(str, frame.ignored)),
            stage_ms=timings,
        )

    def _stage_ms(
        self, decoded: Decoded, inference_started: float, inference_ms: float, started: float
    ) -> StageTimings:
        now = self._clock.monotonic()
        total = 1000 * (now - decoded.ticket.polled_at)
        before_inference = 1000 * (inference_started - decoded.ticket.polled_at)
        return StageTimings(
            decode=round(decoded.decode_ms, 3),
            queue=round(max(0.0, before_inference - decoded.decode_ms), 3),
            inference=round(inference_ms, 3),
            postprocess=round(1000 * (now - started), 3),
            total=round(total, 3),
        )


def _key(decoded: Decoded) -> bytes:
    """Return the record's own key, which keeps the partitioning of the frames; without one, line and camera."""
    return decoded.ticket.record.key or f"{decoded.frame.line}/{decoded.frame.camera}".encode()


def _sampled(decoded: Decoded, share: float) -> bool:
    """Choose by the position if a passed frame gets a heatmap, so that judging it again chooses the same."""
    return zlib.crc32(str(decoded.frame.position).encode()) < share * 2**32
