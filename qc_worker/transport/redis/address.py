"""Connects to the Redis that `redis_url` names: one server, a Redis Cluster, or the primary that Sentinels name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from qc_worker.domain.errors import SettingsError

GROUP = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>cluster|sentinel)://((?P<user>[^:@/]*)(:(?P<password>[^@/]*))?@)?"
    r"(?P<hosts>[^/?#@]+)(?P<path>[^?#]*)(\?(?P<query>[^#]*))?"
)
HOST = re.compile(r"(\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]\s]+))(:(?P<port>[0-9]{1,5}))?")
DEFAULT_PORTS = {"cluster": 6379, "sentinel": 26379}
TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
SENTINEL_LOGIN = ("sentinel_username", "sentinel_password")
CACHE_ERRORS = (RedisError, RedisClusterException, OSError)
"""Errors that a client raises; a cluster's own errors are not RedisError."""
FORMS = (
    "expected redis://[user:password@]host:port/db, redis+cluster://[user:password@]host:port[,host:port] "
    "or redis+sentinel://[user:password@]host:port[,host:port]/service[/db]"
)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A valid `redis_url`. Connections are made when they are needed; each waits for at most `timeout_s`."""

    url: str = field(repr=False)
    timeout_s: float

    def __post_init__(self) -> None:
        """Check the URL. Raises SettingsError if it names no Redis."""
        if not self.is_cluster:
            self.client().close()
        else:
            self._parsed()

    @property
    def is_cluster(self) -> bool:
        return self.url.startswith(("redis+cluster:", "rediss+cluster:"))

    def client(self) -> "Redis | RedisCluster":
        """Make a client; that of a cluster connects at once. Raises CACHE_ERRORS, SettingsError."""
        if "+" in self.url.partition(":")[0]:
            return self._client_of_several()
        try:
            return Redis.from_url(self.url, **self._waiting())
        except (ValueError, TypeError) as error:
            # Without urllib's message, which may quote a part of the password.
            raise SettingsError(f"redis_url: {FORMS}") from error

    def _client_of_several(self) -> "Redis | RedisCluster":
        found, hosts, options = self._parsed()
        login: dict[str, Any] = {"username": _unquoted(found["user"]), "password": _unquoted(found["password"])}
        tls = {name: text for name, text in options.items() if name in TLS_OPTIONS}
        to_all: dict[str, Any] = {**self._waiting(), **tls, **({"ssl": True} if found["scheme"] == "rediss" else {})}
        if found["kind"] == "cluster":
            return RedisCluster(startup_nodes=[_node(host) for host in hosts], **to_all, **login)
        to_sentinels = {
            name.removeprefix("sentinel_"): text for name, text in options.items() if name in SENTINEL_LOGIN
        }
        sentinel: Any = Sentinel(hosts, sentinel_kwargs={**to_all, **to_sentinels})  # type: ignore[no-untyped-call]
        service, _, db = found["path"].strip("/").partition("/")
        primary: Redis = sentinel.master_for(unquote(service), db=int(db or 0), **to_all, **login)
        return primary

    def _parsed(self) -> tuple[Mapping[str, str], list[tuple[str, int]], dict[str, str]]:
        """Split the URL of several servers into its parts, hosts and options. Raises SettingsError."""
        parts = GROUP.fullmatch(self.url)
        if parts is None:
            raise SettingsError(f"redis_url: {FORMS}")
        hosts = [_host(text, DEFAULT_PORTS[parts["kind"]]) for text in parts["hosts"].split(",")]
        options = dict(parse_qsl(parts["query"] or ""))
        allowed = TLS_OPTIONS if parts["kind"] == "cluster" else (*TLS_OPTIONS, *SENTINEL_LOGIN)
        if unknown := sorted(options.keys() - set(allowed)):
            raise SettingsError(f"redis_url: unknown option {unknown[0]!r}; use {', '.join(allowed)}")
        service, _, db = parts["path"].strip("/").partition("/")
        if parts["kind"] == "cluster" and service not in ("", "0"):
            raise SettingsError("redis_url: a Redis Cluster has database 0 only; leave out the path")
        if parts["kind"] == "sentinel" and not (service and (not db or db.isdecimal())):
            raise SettingsError("redis_url: name the Sentinels' service: redis+sentinel://host:port/service[/db]")
        return parts.groupdict(), hosts, options

    def _waiting(self) -> dict[str, Any]:
        return {
            "socket_timeout": self.timeout_s,
            "socket_connect_timeout": self.timeout_s,
            # No retries, because the caller must never wait for a second one.
            "retry": Retry(NoBackoff(), 0),
        }


def advice(error: Exception) -> str:
    """Suggest a URL if a plain one names a node of a cluster or a Sentinel; empty for any other error."""
    text = str(error)
    if text.startswith("MOVED ") or type(error).__name__ == "MovedError" or " MOVED " in text:
        return "; a node of a Redis Cluster: write redis+cluster://host:port"
    if "unknown command" in text and any(name in text.upper() for name in ("HSET", "HMGET", "MULTI", "EXEC", "EXPIRE")):
        return "; perhaps a Sentinel: write redis+sentinel://host:port/service"
    return ""


def _node(host: tuple[str, int]) -> ClusterNode:
    return ClusterNode(*host)  # type: ignore[no-untyped-call]


def _host(text: str, default_port: int) -> tuple[str, int]:
    found = HOST.fullmatch(text.strip())
    if found is None or not 1 <= int(found["port"] or default_port) <= 65535:
        raise SettingsError(f"redis_url: {text.strip()!r} is not host:port")
    return found["ipv6"] or found["name"], int(found["port"] or default_port)


def _unquoted(text: str | None) -> str | None:
    return unquote(text) if text else None
