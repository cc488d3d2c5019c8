"""Every private name of kafka-python 3.0.12 that is used without being replaced.

Each function says why the public API is not enough and where it is used. Nothing outside this package touches a private
name; `tests/unit/test_private_names.py` checks it.
"""

from typing import Any

from kafka.errors import GroupIdNotFoundError, KafkaConnectionError, for_code
from kafka.protocol.admin import DescribeGroupsRequest


def connection_manager(client: Any) -> Any:
    """Return the manager of a client's connections.

    KafkaNetClient gives no access to it; ours notes why connections fail (`connecting.access.Connections`).
    """
    return client._manager


def has_connection(manager: Any, node_id: Any) -> bool:
    """Tell whether a manager knows a connection to that node already, standing or not.

    Its `get_connection` does not tell a new connection from a known one (`connecting.watched_connections`).
    """
    return node_id in manager._conns


def fail_waiters(client: Any) -> None:
    """Fail the calls in which other threads wait for a client's network.

    kafka-python has no call to end a wait from another thread: opening a client takes up to its timeout, and closing
    one waits for what is asked (`connecting.access.Connections.interrupt`).
    """
    client._net._fail_pending_waiters(KafkaConnectionError("interrupted"))


def coordinator_connected(consumer: Any) -> bool:
    """Tell whether a connection to the group's coordinator stands; asks no broker.

    Any other broker is not enough: without the coordinator a member neither joins nor commits, and its polls return
    nothing. kafka-python reports none of it (`group.coordinator_watch`).
    """
    coordinator = consumer._coordinator
    node = coordinator.coordinator_id  # None: not known, or known to be gone
    return node is not None and bool(coordinator._client.connected(node))


def living_members(admin: Any, group: str) -> int:
    """Return how many members the group has, as its coordinator says. Raises KafkaError.

    `describe_groups` asks for rights too, and raises ValueError for those that it does not know, as Tansu's; and it
    raises none of the coordinator's errors (`group.group_watch`).
    """

    async def describe() -> Any:
        coordinator = await admin._find_coordinator_id(group)
        return await admin._manager.send(DescribeGroupsRequest(groups=[group]), node_id=coordinator)

    (described,) = admin._manager.run(describe).groups
    if described.error_code and for_code(described.error_code) is not GroupIdNotFoundError:
        raise for_code(described.error_code)()
    return len(described.members)


def forget_asked_offsets(consumer: Any) -> None:
    """Let the broker answer the next question for committed offsets.

    kafka-python keeps a question that nobody waits for any more, by its partitions and without an end. Its answer may
    come when others have long committed there: taken for a new one, it would rewind the group (`group.group_member`).
    """
    consumer._coordinator._offset_fetch_futures.clear()


def transaction_manager(producer: Any) -> Any:
    """Return the manager of a producer's transactions.

    The producer's own methods wait for each answer without a limit of time, so records, offsets and the commit could
    neither be sent together nor given up (`exactly_once`).
    """
    return producer._transaction_manager


def wake_sender(producer: Any) -> None:
    """Let the producer's thread send what was handed to its transaction manager at once (`exactly_once`)."""
    producer._sender.wakeup()


def stop_sender(producer: Any, *, timeout_s: float) -> None:
    """Stop the producer's thread and drop what it has not sent; wait up to `timeout_s` for its end.

    `KafkaProducer.close` flushes first and closes nothing if that times out: the thread would live on and deliver stale
    records whenever the broker is back (`producer.close_producer`).
    """
    producer._sender.force_close()
    producer._sender.join(timeout=timeout_s)
