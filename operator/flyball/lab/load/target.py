"""Where load goes: the URL that users give, and the guard that keeps load within the machine and the cluster.

A load test against a stranger's server is an attack, and one typing error away. Load goes only to loopback and private
addresses, which includes every address inside a cluster; the guard looks at addresses, after names have been resolved,
at every connection.
"""

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

_ALLOWED_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7",
    )
)  # fmt: skip
_PATHS = {"completions": "/v1/completions", "chat": "/v1/chat/completions"}


class InvalidTargetError(ValueError):
    """The URL cannot be loaded, or may not be."""


class ExternalAddressError(OSError):
    """A name resolved to an address outside the machine and the cluster."""


def endpoint_url(base_url: str, api: str) -> str:
    """The URL of one API ("completions" or "chat") under a server's base URL, with or without /v1. Raises
    InvalidTargetError.
    """
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        raise InvalidTargetError(f"{base_url!r} is not a URL; write for example http://127.0.0.1:8000") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise InvalidTargetError(f"{base_url!r} is not a URL; write for example http://127.0.0.1:8000")
    if parts.query or parts.fragment or parts.username:
        raise InvalidTargetError(
            f"{base_url!r} has more than a host and a path; give the server's base URL, and secrets with --header"
        )
    return base_url.rstrip("/").removesuffix("/v1") + _PATHS[api]


def is_internal(address: str) -> bool:
    """Whether an IP address is loopback or private (RFC 1918, RFC 4193, and RFC 6598's shared space, which
    clusters use).
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in _ALLOWED_NETWORKS)


class GuardedResolver(AbstractResolver):
    """Resolves names, and refuses those of which any address is external."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        results = await self._resolver.resolve(host, port, family)
        for result in results:
            if not is_internal(result["host"]):
                raise ExternalAddressError(f"{host} is {result['host']}")
        return results

    async def close(self) -> None:
        await self._resolver.close()


async def check_internal(url: str) -> None:
    """Raises InvalidTargetError when the URL's host is external, or does not resolve."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        addresses = await asyncio.get_running_loop().getaddrinfo(host, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidTargetError(f"{host} does not resolve ({error.strerror or error}); check --url") from None
    for *_, address in addresses:
        if not is_internal(str(address[0])):
            raise InvalidTargetError(
                f"{host} ({address[0]}) is neither this machine nor a private or cluster address, so no load is "
                "sent to it; if the server is yours to load, add --allow-external"
            )
