"""Which addresses a set of processes listens on."""

import ipaddress
from collections.abc import Iterable

import psutil


def exposed_addresses(processes: Iterable[psutil.Process]) -> list[str]:
    """TCP addresses, as `ip:port`, on which another machine could reach these processes."""
    return sorted(
        f"{address}:{port}"
        for process in processes
        for address, port in _listening(process)
        if not _is_loopback(address)
    )


def listens_on(process: psutil.Process, port: int) -> bool:
    """Whether this very process holds the port: another program's answer does not count."""
    return any(taken == port for _, taken in _listening(process))


def _listening(process: psutil.Process) -> list[tuple[str, int]]:
    try:
        connections = process.net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return []
    return [
        (connection.laddr.ip, connection.laddr.port)
        for connection in connections
        if connection.status == psutil.CONN_LISTEN and connection.laddr
    ]


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
