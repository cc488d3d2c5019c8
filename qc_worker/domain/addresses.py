"""Checks addresses of Kafka brokers and names of topics, as people write them."""

import re
from ipaddress import IPv6Address

ADDRESS = re.compile(r"(?P<host>\[[^\]\s]*\]|[^\s/@:\[\]]+):(?P<port>[0-9]{1,5})", re.ASCII)
SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9_+.-]*://")
MAX_PORT = 65535
TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}", re.ASCII)
"""Kafka's own rule for names of topics."""


def kafka_address(text: str) -> tuple[str, int]:
    """Split `host:port` into the host, without brackets, and the port. Raises ValueError with what to write instead."""
    address = text.strip()
    if scheme := SCHEME.match(address):
        raise ValueError(
            f"{address!r} is not host:port: leave out {scheme[0]}, and set kafka_security_protocol if it is needed"
        )
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise ValueError(f"{address!r} is not host:port (an IPv6 address in brackets: [::1]:9092)")
    host, port = found["host"], int(found["port"])
    if not 1 <= port <= MAX_PORT:
        raise ValueError(f"{address!r} has an impossible port: use 1 to {MAX_PORT}")
    if host.startswith("["):
        host = host[1:-1]
        _check_ipv6(host, address)
    return host, port


def kafka_topic(name: str) -> str:
    """Return the name if Kafka accepts it as the name of a topic. Raises ValueError."""
    if not TOPIC.fullmatch(name):
        raise ValueError(f"{name!r} is not a topic name: use 1 to 249 of the characters A-Z a-z 0-9 . _ -")
    return name


def _check_ipv6(host: str, address: str) -> None:
    try:
        IPv6Address(host)
    except ValueError:
        raise ValueError(f"{address!r}: {host!r} is not an IPv6 address") from None
