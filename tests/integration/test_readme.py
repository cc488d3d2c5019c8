import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

from qc_worker.domain.frame import Record
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.group.frame_source import KafkaFrameSource
from qc_worker.transport.kafka.group.group_member import GroupMember
from qc_worker.transport.kafka.topics import TopicPlan, ensure_topics
from qc_worker.wire.images import decode_record
from tests.conftest import Services, eventually, unique

README = Path(__file__).parents[2] / "README.md"


def test_python_in_the_readme_pushes_frames_that_the_worker_can_read(
    services: Services, access: KafkaAccess, tmp_path: Path
) -> None:
    topic = unique("images")
    ensure_topics(access, [TopicPlan(topic, 1, {"cleanup.policy": "delete"})])
    (tmp_path / "frames").mkdir()
    for name in ("part-1", "part-2"):
        Image.new("RGB", (8, 8)).save(tmp_path / "frames" / f"{name}.jpg")
    subprocess.run([sys.executable, "-c", _snippet(services, topic)], cwd=tmp_path, check=True, timeout=60)
    frames = [decode_record(record) for record in _polled(services, access, topic, count=2)]
    assert [(frame.line, frame.camera, frame.frame_id) for frame in frames] == [
        ("A", "top", "part-1"),
        ("A", "top", "part-2"),
    ]
    assert frames[0].content == (tmp_path / "frames" / "part-1.jpg").read_bytes()


def _snippet(services: Services, topic: str) -> str:
    snippets: list[str] = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    [snippet] = snippets
    assert '"127.0.0.1:9092"' in snippet
    assert '"images"' in snippet
    return snippet.replace("127.0.0.1:9092", services.bootstrap_servers).replace('"images"', f'"{topic}"')


def _polled(services: Services, access: KafkaAccess, topic: str, *, count: int) -> list[Record]:
    source = KafkaFrameSource(
        GroupMember(
            access,
            topic=topic,
            group=unique("readers"),
            max_frame_bytes=1024 * 1024,
            session_timeout_ms=services.session_timeout_ms,
        )
    )
    records: list[Record] = []

    def enough() -> bool:
        records.extend(source.poll(timeout_s=0.5, max_records=10))
        return len(records) >= count

    try:
        source.start()
        eventually(enough)
    finally:
        source.close()
    return records
