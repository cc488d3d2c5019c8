"""Topics on a real broker: created once, then compared."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.producer import open_producer
from qc_worker.transport.kafka.topics import TopicPlan, TopicState, broker_answers, check_topics, ensure_topics
from qc_worker.transport.limits import MAX_RECORD_BYTES
from tests.contract.rigs import PARTITIONS, Topics, topic_plans

KNOWN = {TopicState.OK, TopicState.UNCHECKED}


@pytest.fixture
def plans() -> tuple[TopicPlan, ...]:
    return topic_plans(Topics())


def test_missing_topics_are_reported_and_then_created(access: KafkaAccess, plans: tuple[TopicPlan, ...]) -> None:
    assert {report.state for report in check_topics(access, plans)} == {TopicState.MISSING}
    assert [report.name for report in ensure_topics(access, plans)] == [plan.name for plan in plans]
    assert {report.state for report in check_topics(access, plans)} <= KNOWN


def test_creating_twice_changes_nothing(access: KafkaAccess, plans: tuple[TopicPlan, ...]) -> None:
    assert {report.state for report in ensure_topics(access, plans)} == {TopicState.CREATED}
    assert {report.state for report in ensure_topics(access, plans)} <= KNOWN


def test_only_what_is_missing_is_created(access: KafkaAccess, plans: tuple[TopicPlan, ...]) -> None:
    ensure_topics(access, plans[:2])
    states = [report.state for report in ensure_topics(access, plans)]
    assert set(states[:2]) <= KNOWN
    assert set(states[2:]) == {TopicState.CREATED}


def test_too_few_partitions_are_reported_with_the_remedy(access: KafkaAccess, plans: tuple[TopicPlan, ...]) -> None:
    ensure_topics(access, plans)
    (report,) = check_topics(access, [replace(plans[0], partitions=PARTITIONS + 3)])
    assert report.state is TopicState.DIFFERS
    assert report.differences == (f"has {PARTITIONS} partitions, should have {PARTITIONS + 3}",)
    assert plans[0].name in report.remedies[0]


@pytest.mark.apache_only  # Tansu tells no topic's settings
def test_records_too_small_are_reported_with_the_remedy(access: KafkaAccess, plans: tuple[TopicPlan, ...]) -> None:
    small = replace(plans[0], settings={"max.message.bytes": "1000000"})
    ensure_topics(access, [small])
    (report,) = check_topics(access, [plans[0]])
    assert report.differences == (f"max.message.bytes is 1000000, should be {MAX_RECORD_BYTES}",)
    assert f"--add-config max.message.bytes={MAX_RECORD_BYTES}" in report.remedies[0]


@pytest.mark.apache_only  # Tansu tells no topic's settings
def test_published_records_without_the_brokers_time_are_reported_with_the_remedy(
    access: KafkaAccess, plans: tuple[TopicPlan, ...]
) -> None:
    for plan in plans[1:3]:
        ensure_topics(access, [replace(plan, settings={"max.message.bytes": plan.settings["max.message.bytes"]})])
        (report,) = check_topics(access, [plan])
        assert report.differences == ("message.timestamp.type is CreateTime, should be LogAppendTime",)
        assert f"{plan.name} --add-config message.timestamp.type=LogAppendTime" in report.remedies[0]
        assert not report.too_small


@pytest.mark.apache_only  # Tansu keeps the producer's time
def test_inspections_of_a_worker_whose_clock_is_wrong_are_taken_at_the_brokers_time(
    access: KafkaAccess, plans: tuple[TopicPlan, ...]
) -> None:
    ensure_topics(access, plans)
    with closing(open_producer(access)) as producer:
        for hours in (-24, 24):
            claimed_ms = int((datetime.now(UTC) + timedelta(hours=hours)).timestamp() * 1000)
            for plan in plans[1:3]:
                sent = producer.send(plan.name, value=b"published", timestamp_ms=claimed_ms).get(20)
                assert abs(sent.timestamp - datetime.now(UTC).timestamp() * 1000) < 60_000


def test_broker_answers_only_where_one_is(access: KafkaAccess) -> None:
    assert broker_answers(access)
    assert not broker_answers(KafkaAccess("127.0.0.1:1", connect_timeout_ms=300))
