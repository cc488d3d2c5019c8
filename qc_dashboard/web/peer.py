"""Find out who sent a request: the browser's own address and protocol, also behind reverse proxies that are trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

Networks = Sequence[IPv4Network | IPv6Network]
FORWARDING_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
"""Headers that show that a proxy stands between."""
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Peer:
    """The sender of a request."""

    address: str
    """Address of the browser: the last one in X-Forwarded-For that is not a trusted proxy."""
    is_https: bool
    by_trusted_proxy: bool
    is_direct_from_this_machine: bool
    """The connection comes from this machine, and no proxy says that it forwards somebody else's request."""

    @property
    def is_protected(self) -> bool:
        """Return True if nobody between browser and server can read along: TLS, or a connection within the machine."""
        return self.is_https or self.is_direct_from_this_machine


def peer_of(scope: Scope, proxies: Networks) -> Peer:
    """Find the sender; what headers claim counts only if a trusted proxy says it."""
    headers = Headers(scope=scope)
    client = scope.get("client")
    sender = _address(client[0] if client else "")
    trusted = _in_networks(sender, proxies)
    forwarded = any(name in headers for name in FORWARDING_HEADERS)
    address, scheme = sender, scope["scheme"]
    if trusted:
        chain = [part.strip() for value in headers.getlist("x-forwarded-for") for part in value.split(",")]
        address = _first_stranger(chain, proxies, sender)
        scheme = headers.get("x-forwarded-proto", scheme).split(",")[-1].strip()
    return Peer(
        address=UNKNOWN if address is None else str(address),
        is_https=scheme == "https",
        by_trusted_proxy=trusted,
        is_direct_from_this_machine=sender is not None and sender.is_loopback and not forwarded,
    )


def _first_stranger(
    chain: Sequence[str], proxies: Networks, sender: IPv4Address | IPv6Address | None
) -> IPv4Address | IPv6Address | None:
    """Go back along the chain to the first address that is no trusted proxy; before it anybody may have written."""
    nearest = sender
    for text in reversed(chain):
        address = _address(text)
        if address is None:
            return nearest
        nearest = address
        if not _in_networks(address, proxies):
            return nearest
    return nearest


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip().removeprefix("[").removesuffix("]").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _in_networks(address: IPv4Address | IPv6Address | None, networks: Networks) -> bool:
    return address is not None and any(address in network for network in networks)
