"""Ports that are free at the time of asking, and stay so for who asked."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def is_free(address: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def choose_port(address: str, preferred: int) -> int:
    """The preferred port where it is free, else any that is."""
    return preferred if is_free(address, preferred) else free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Distinct ports on loopback that only a server which asks for them by number gets within the next minute.

    A port that is merely free may be drawn again by anybody before its server listens. So each is left as a closed
    connection leaves it (TIME_WAIT): the kernel then draws it for nobody, and servers, which set SO_REUSEADDR, may
    listen there.
    """
    with ExitStack() as held:
        return [_reserve(held) for _ in range(count)]


def _reserve(held: ExitStack) -> int:
    server = held.enter_context(socket.create_server(("127.0.0.1", 0)))
    address: tuple[str, int] = server.getsockname()
    held.enter_context(socket.create_connection(address))
    served, _ = server.accept()
    served.close()  # the side that closes first is the one that keeps TIME_WAIT
    return address[1]
