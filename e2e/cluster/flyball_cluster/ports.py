"""Ports that are free at the time of asking."""

from __future__ import annotations

import socket


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
    """Distinct ports that are free on loopback, held open together while being drawn so that none comes twice."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
