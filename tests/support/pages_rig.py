"""The pages of a real history, with pictures, in this process: for visitors without a browser, or served to one."""

import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import uvicorn
from PIL import Image, ImageDraw

from qc_dashboard.database.database import Database
from qc_dashboard.history.writing import HistoryWriter
from qc_dashboard.wiring.serving import ROUTES
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Defect, Inspection, Verdict
from qc_worker.domain.release import Release
from qc_worker.ports.feeds import PublishedRelease
from qc_worker.ports.results import HeatmapEntry
from qc_worker.transport.memory.frames import MemoryFrameSource
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.json_types import encode_release
from tests.support.api import GROUP, ApiRig
from tests.support.factories import NOON
from tests.support.published import inspection

WIDTH, HEIGHT = 320, 240
DEFECT = Defect(x=200, y=90, width=50, height=40, area_px=1500, peak_score=0.93)


class PagesRig(ApiRig):
    """An app with all pages; frames lie on a broker, heatmaps in a cache."""

    def __init__(self, database: Database, folder: Path) -> None:
        super().__init__(database, folder, routes=ROUTES)
        self._released = 0

    def judge(self, offset: int, **fields: Any) -> Inspection:
        """Have the inspection of a frame that was judged now, with its picture."""
        verdict = fields.get("verdict", Verdict.PASS)
        one = inspection(offset, **{"captured_at": self.clock.now(), "scored_at": self.clock.now(), **fields})
        self.broker.append(OutgoingRecord("images", b"A/top", picture(verdict is not Verdict.PASS), []))
        if verdict in {Verdict.REJECT, Verdict.REVIEW}:
            key = f"qc:heatmap:images:0:{offset}"
            self.cache.put([HeatmapEntry(key, picture(True, hot=True, kind="PNG"), picture(True))])
            one = replace(one, heatmap_key=key, image_size=(HEIGHT, WIDTH), defects=(DEFECT,))
        self.write(one)
        return one

    def release(self, line: str, version: str, *, threshold: float = 0.7) -> None:
        """Have a version of the line's model live."""
        one = Release(line, version, "0" * 64, threshold, NOON, metrics={"max_false_reject": 0.01})
        published = PublishedRelease(one, Position("models", 0, self._released), encode_release(one))
        HistoryWriter(self.database).add_releases([published])
        self._released += 1

    def join(self) -> MemoryFrameSource:
        """Have one more worker in the group."""
        worker = MemoryFrameSource(self.broker, topic="images", group=GROUP)
        worker.start()
        return worker

    def settle(self) -> None:
        """Have every frame judged, as far as the broker knows."""
        images = self.broker.partitions("images")
        self.broker.group(GROUP).commit({partition: self.broker.end(partition) for partition in images})

    def step(self) -> None:
        """Let pages have what was written."""
        while self.live.step():
            pass

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve the app on a free port; yield its address."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = uvicorn.Server(uvicorn.Config(self.app, log_config=None, timeout_graceful_shutdown=2))
            thread = Thread(target=server.run, args=([listening],), daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                self.app.state.web.stopping.set()
                server.should_exit = True
                thread.join(10)


def picture(defective: bool = False, *, hot: bool = False, kind: str = "JPEG") -> bytes:
    """Draw a round part, with a scratch or a hot spot if it is defective."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "#3a3f45")
    draw = ImageDraw.Draw(image)
    draw.ellipse((40, 20, 280, 220), fill="#a9b2ba")
    draw.ellipse((130, 90, 190, 150), fill="#3a3f45")
    if defective:
        draw.line((202, 126, 246, 94), fill="#20242a", width=5)
    if hot:
        draw.ellipse((195, 85, 255, 135), fill="#e04020")
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()
