"""Logins and TLS on a real broker: what is right works, what is wrong is named in one line."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.coordinator.assignors.range import RangePartitionAssignor

from qc_worker.domain.errors import SettingsError
from qc_worker.transport.kafka.connecting.access import KafkaAccess, open_client
from qc_worker.transport.kafka.group.frame_source import KafkaFrameSource
from qc_worker.transport.kafka.group.group_member import GroupMember
from qc_worker.transport.kafka.topics import TopicPlan, TopicState, check_topics, ensure_topics
from tests.conftest import eventually, skip_on_a_laptop, started, unique
from tests.support.apache_kafka.cluster import Cluster
from tests.support.apache_kafka.secured import KEY_PASSWORD, PASSWORD, USER, Certificates, Security

pytestmark = pytest.mark.apache_only

LOGIN = {"sasl_username": USER, "sasl_password": PASSWORD, "sasl_mechanism": "SCRAM-SHA-512"}
CA, OTHER_CA = {"ssl_cafile": "ca.pem"}, {"ssl_cafile": "other-ca.pem"}
CLIENT = {**CA, "ssl_certfile": "client.pem", "ssl_keyfile": "client.key"}
LOCKED = {**CA, "ssl_certfile": "client.pem", "ssl_keyfile": "locked.key", "ssl_key_password": KEY_PASSWORD}
STRANGER = {**CA, "ssl_certfile": "stranger.pem", "ssl_keyfile": "stranger.key"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    try:
        security = Security(Certificates.made(tmp_path_factory.mktemp("tls") / "certificates"))
    except SettingsError as error:
        skip_on_a_laptop(str(error))
    with ExitStack() as stack:
        yield started(Cluster(security=security), stack)


def access(cluster: Cluster, listener: str, protocol: str, *, host: str = "127.0.0.1", **given: Any) -> KafkaAccess:
    security = cluster.security
    assert security is not None
    files = {name: security.certificates.path(file) for name, file in given.items() if name.endswith("file")}
    address = cluster.bootstrap_servers if listener == "DIRECT" else security.address(listener, host)
    return KafkaAccess(address, security_protocol=protocol, **{**given, **files})


@pytest.mark.parametrize(
    ("listener", "protocol", "given"),
    [
        ("SASL_PLAIN", "SASL_PLAINTEXT", LOGIN),
        ("SASL_PLAIN", "SASL_PLAINTEXT", {**LOGIN, "sasl_mechanism": "PLAIN"}),
        ("SASL_TLS", "SASL_SSL", {**LOGIN, **CA}),
        ("TLS", "SSL", CA),
        ("MUTUAL", "SSL", CLIENT),
        ("MUTUAL", "SSL", LOCKED),
    ],
)
def test_each_way_of_talking_to_a_broker_works(
    cluster: Cluster, listener: str, protocol: str, given: dict[str, Any]
) -> None:
    plan = TopicPlan(unique("images"), 1, {})
    allowed = access(cluster, listener, protocol, **given)
    assert [report.state for report in ensure_topics(allowed, [plan])] == [TopicState.CREATED]
    source = KafkaFrameSource(GroupMember(allowed, topic=plan.name, group=unique("group"), max_frame_bytes=1_000_000))
    source.start()
    with closing(source):
        assert eventually(lambda: not source.poll(timeout_s=0.2, max_records=1) and source.assignment())


@pytest.mark.parametrize(
    ("listener", "protocol", "given", "told"),
    [
        ("SASL_PLAIN", "SASL_PLAINTEXT", {**LOGIN, "sasl_password": "wrong"}, "refuses user 'camera' by SCRAM"),
        ("SASL_TLS", "SASL_SSL", {**LOGIN, **CA, "sasl_username": "nobody"}, "refuses user 'nobody'"),
        (
            "SASL_TLS",
            "SASL_SSL",
            {**LOGIN, **CA, "sasl_mechanism": "PLAIN", "sasl_password": "wrong"},
            "refuses user 'camera' by PLAIN",
        ),
        ("SASL_PLAIN", "SASL_PLAINTEXT", {**LOGIN, "sasl_mechanism": "SCRAM-SHA-256"}, "one of PLAIN, SCRAM-SHA-512"),
        ("SASL_PLAIN", "SASL_PLAINTEXT", {}, "kafka_sasl_username and kafka_sasl_password"),
        ("SASL_PLAIN", "PLAINTEXT", {}, "requires a login .*to SASL_PLAINTEXT"),
        ("SASL_TLS", "SSL", CA, "requires a login .*to SASL_SSL"),
        ("DIRECT", "SASL_PLAINTEXT", LOGIN, "has no login.*to PLAINTEXT"),
        ("TLS", "SASL_SSL", {**LOGIN, **CA}, "has no login.*to SSL"),
        ("TLS", "PLAINTEXT", {}, "uses TLS: set kafka_security_protocol to SSL,"),
        ("SASL_TLS", "PLAINTEXT", {}, "uses TLS: set kafka_security_protocol to SASL_SSL,"),
        ("SASL_TLS", "SASL_PLAINTEXT", LOGIN, "uses TLS: set kafka_security_protocol to SASL_SSL,"),
        ("MUTUAL", "PLAINTEXT", {}, "uses TLS"),
        ("DIRECT", "SSL", CA, "does not use TLS: set kafka_security_protocol to PLAINTEXT"),
        ("SASL_PLAIN", "SASL_SSL", {**LOGIN, **CA}, "does not use TLS: set kafka_security_protocol to SASL_PLAINTEXT"),
        ("TLS", "SSL", {}, "unknown authority.*kafka_ssl_cafile"),
        ("TLS", "SSL", OTHER_CA, "unknown authority.*kafka_ssl_cafile"),
        ("TLS", "SSL", {**CA, "host": "localhost"}, "another host.*'localhost'"),
        ("MUTUAL", "SSL", CA, "requires a client certificate"),
        ("MUTUAL", "SSL", STRANGER, "does not accept our certificate"),
    ],
)
def test_what_is_wrong_is_named_at_once(
    cluster: Cluster, listener: str, protocol: str, given: dict[str, Any], told: str
) -> None:
    mechanism = {"sasl_mechanism": "SCRAM-SHA-512"}  # the settings always name one
    began_s = monotonic()
    with pytest.raises(SettingsError, match=told) as refused:
        check_topics(access(cluster, listener, protocol, **{**mechanism, **given}), [TopicPlan("images", 1, {})])
    assert monotonic() - began_s < 5
    assert len(str(refused.value).splitlines()) == 1
    assert PASSWORD not in str(refused.value)


def test_a_command_with_a_wrong_password_ends_with_2_and_one_line(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.security is not None
    (tmp_path / "secret").write_text("wrong\n")
    environment = {
        "QC_KAFKA_BOOTSTRAP_SERVERS": cluster.security.address("SASL_TLS"),
        "QC_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "QC_KAFKA_SSL_CAFILE": str(cluster.security.certificates.path("ca.pem")),
        "QC_KAFKA_SASL_USERNAME": USER,
        "QC_KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "secret"),
    }
    ended = command(environment, tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert len(ended.stderr.splitlines()) == 1
    (tmp_path / "secret").write_text(f"{PASSWORD}\n")
    assert command(environment, tmp_path).returncode == 1  # no topics there yet


def command(environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "qc_worker.cli", "topics", "--check", "--json"]
    return subprocess.run(
        arguments,
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_group_of_members_with_another_protocol_is_refused_at_once(cluster: Cluster) -> None:
    plan, group = TopicPlan(unique("images"), 1, {}), unique("group")
    plain = access(cluster, "DIRECT", "PLAINTEXT")
    ensure_topics(plain, [plan])
    foreign = open_client(
        KafkaConsumer, plain, group_id=group, partition_assignment_strategy=[RangePartitionAssignor()]
    )
    source = KafkaFrameSource(GroupMember(plain, topic=plan.name, group=group, max_frame_bytes=1_000_000))
    with closing(foreign):
        foreign.subscribe([plan.name])
        assert eventually(lambda: foreign.poll(timeout_ms=200) or foreign.assignment())
        source.start()
        with pytest.raises(SettingsError, match=r"another protocol.*consumer_group"):
            eventually(lambda: source.poll(timeout_s=0.2, max_records=1))
        source.close()


def test_a_session_that_the_broker_does_not_take_is_refused_at_once(cluster: Cluster) -> None:
    plan = TopicPlan(unique("images"), 1, {})
    plain = access(cluster, "DIRECT", "PLAINTEXT")
    ensure_topics(plain, [plan])
    group = unique("group")
    source = KafkaFrameSource(
        GroupMember(plain, topic=plan.name, group=group, max_frame_bytes=1_000_000, session_timeout_ms=1_000)
    )
    source.start()
    with pytest.raises(SettingsError, match="session_timeout_ms"):
        eventually(lambda: source.poll(timeout_s=0.2, max_records=1))
    source.close()
