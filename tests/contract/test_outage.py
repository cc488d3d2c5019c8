"""What the Kafka adapters do while their broker is gone, and when it is back."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from threading import active_count
from time import monotonic

import pytest
from kafka.errors import CorruptRecordError

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Position
from qc_worker.embedded.services import EmbeddedBroker
from qc_worker.transport.kafka.connecting.access import REQUEST_TIMEOUT_MS, KafkaAccess
from qc_worker.transport.kafka.frame_outbox import KafkaFrameOutbox
from qc_worker.transport.kafka.frame_reader import KafkaFrameReader
from qc_worker.transport.kafka.group import group_member
from qc_worker.transport.kafka.group.frame_source import KafkaFrameSource
from qc_worker.transport.kafka.group.group_member import GroupMember
from qc_worker.transport.kafka.inspection_feed import KafkaInspectionFeed
from qc_worker.transport.kafka.release_log import KafkaReleaseLog
from qc_worker.transport.kafka.topics import ensure_topics
from qc_worker.wire.images import encode_frame
from tests.conftest import eventually, started
from tests.contract.rigs import NOW, Topics, release, topic_plans


@dataclass
class Site:
    """A broker of its own with its topics."""

    broker: EmbeddedBroker
    access: KafkaAccess
    topics: Topics
    stack: ExitStack

    def source(self, request_timeout_ms: int = REQUEST_TIMEOUT_MS) -> KafkaFrameSource:
        source = KafkaFrameSource(
            GroupMember(
                replace(self.access, request_timeout_ms=request_timeout_ms),
                topic=self.topics.images,
                group="group",
                max_frame_bytes=1_000_000,
                session_timeout_ms=self.broker.session_timeout_ms,
            )
        )
        self.stack.callback(source.close)
        source.start()
        return source

    def come_back(self) -> None:
        """The embedded broker keeps nothing, so topics are made anew."""
        self.broker.start()
        ensure_topics(self.access, topic_plans(self.topics))

    def push(self, content: bytes) -> None:
        with KafkaFrameOutbox(self.access, topic=self.topics.images) as camera:
            camera.send(encode_frame(content, line="A", camera="cam1", captured_at=NOW))
            camera.flush()


@pytest.fixture
def site() -> Iterator[Site]:
    with ExitStack() as stack:
        broker = started(EmbeddedBroker(), stack)
        access = KafkaAccess(broker.bootstrap_servers, connect_timeout_ms=1_000)
        topics = Topics()
        ensure_topics(access, topic_plans(topics))
        yield Site(broker, access, topics, stack)


def test_source_outlives_its_broker_and_reads_on_when_it_is_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_member, "COMMIT_TIMEOUT_MS", 1_000)
    site.push(b"before")
    source = site.source()
    eventually(lambda: source.poll(timeout_s=0.2, max_records=1))
    partition = next(iter(source.assignment()))
    assert source.reachable()
    site.broker.stop()
    eventually(lambda: not polled_quietly(source) and not source.reachable())
    with pytest.raises(TransportError, match="committing"):
        source.commit({partition: 1})
    site.come_back()
    site.push(b"after")
    assert eventually(lambda: polled_quietly(source), timeout_s=60) == [b"after"]
    assert source.reachable()


@pytest.mark.parametrize("is_expelled", [False, True])
def test_an_idle_source_says_that_its_broker_is_away_until_it_is_back(site: Site, is_expelled: bool) -> None:
    source = site.source(request_timeout_ms=1_000)
    eventually(lambda: source.poll(timeout_s=0.2, max_records=1) or source.assignment())
    site.broker.stop()
    if is_expelled:
        source.member.consumer._coordinator.reset_generation()

    def says_so() -> bool:
        """And not what else may be wrong with a single poll while a broker dies."""
        try:
            source.poll(timeout_s=0.2, max_records=1)
        except TransportError as error:
            return "no connection to the group's coordinator" in str(error)
        return False

    eventually(says_so)
    assert says_so()
    site.come_back()
    eventually(lambda: not says_so() and source.assignment(), timeout_s=60)


def test_a_source_broken_while_no_broker_answers_starts_again_when_one_does(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = site.source()
    eventually(lambda: source.poll(timeout_s=0.2, max_records=1) or source.assignment())
    monkeypatch.setattr(source.member.consumer, "poll", corrupt)
    site.broker.stop()
    for expected in ("CorruptRecordError", "no Kafka broker answers", "no Kafka broker answers"):
        with pytest.raises(TransportError, match=expected):
            source.poll(timeout_s=0.2, max_records=1)
    site.come_back()
    site.push(b"after")
    assert eventually(lambda: polled_quietly(source), timeout_s=60) == [b"after"]


def test_a_broken_source_that_was_closed_stays_closed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    source = site.source()
    monkeypatch.setattr(source.member.consumer, "poll", corrupt)
    with pytest.raises(TransportError, match="CorruptRecordError"):
        source.poll(timeout_s=0.2, max_records=1)
    source.close()
    with pytest.raises(TransportError, match="closed"):
        source.poll(timeout_s=0.2, max_records=1)


def corrupt(**_: object) -> None:
    """A batch that cannot be read."""
    raise CorruptRecordError


def test_nobody_at_home_is_a_transport_error_and_leaves_no_thread(site: Site) -> None:
    site.broker.stop()
    threads = active_count()
    began_s = monotonic()
    with pytest.raises(TransportError, match=r"no Kafka broker answers at 127\.0\.0\.1"):
        site.source()
    assert monotonic() - began_s < 5
    assert active_count() == threads


def read_releases(site: Site) -> None:
    KafkaReleaseLog(site.access, topic=site.topics.models).read_all()


def announce(site: Site) -> None:
    KafkaReleaseLog(site.access, topic=site.topics.models).announce(release("A", "v1"))


def read_frame(site: Site) -> None:
    KafkaFrameReader(site.access).read(Position(site.topics.images, 0, 0))


def push(site: Site) -> None:
    site.push(b"frame")


@pytest.mark.parametrize("ask", [read_releases, announce, read_frame, push])
def test_every_adapter_says_that_the_broker_is_gone(site: Site, ask: Callable[[Site], None]) -> None:
    site.broker.stop()
    with pytest.raises(TransportError, match="no Kafka broker answers"):
        ask(site)


def test_embedded_broker_comes_back_on_the_same_port(site: Site) -> None:
    address = site.broker.bootstrap_servers
    site.broker.stop()
    site.broker.start()
    assert site.broker.bootstrap_servers == address


def test_feed_says_that_its_broker_is_gone_and_that_it_is_back(site: Site) -> None:
    feed = KafkaInspectionFeed(site.access, topic=site.topics.results)
    site.stack.callback(feed.close)
    feed.start()
    feed.poll(timeout_s=0.2)
    assert feed.reachable()
    site.broker.stop()
    eventually(lambda: not feed.poll(timeout_s=0.2) and not feed.reachable())
    site.come_back()
    eventually(lambda: not feed.poll(timeout_s=0.2) and feed.reachable())


def polled_quietly(source: KafkaFrameSource) -> list[bytes]:
    """What a worker does in an outage: poll on."""
    try:
        return [record.content for record in source.poll(timeout_s=0.2, max_records=10)]
    except TransportError:
        return []
