"""The line to the coordinator, hop by hop: web proxy, name, port, TLS, routes, clock."""

import ipaddress
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fedehr_client.doctor.coordinator import SECONDS, Coordinator
from fedehr_client.doctor.finding import Finding, fail, ok, warn
from fedehr_client.doctor.refused import explain_refusal
from fedehr_client.doctor.response_check import check_response
from fedehr_client.node.proxy import WebProxy, proxy_to, useless_direct_hosts
from fedehr_client.site import ConnectionConfig
from fedehr_shared.errors import ConfigError

if TYPE_CHECKING:
    import httpx


def check_line(network: ConnectionConfig, site_file: Path) -> Iterator[Finding]:
    """Hop by hop; what comes after one that fails is not tried.

    Args:
        network: the site file's section.
        site_file: where it stands, for the lines that mend.
    """
    try:
        proxy = proxy_to(network.coordinator)
    except ConfigError as error:
        yield fail("proxy", str(error), "export HTTPS_PROXY=http://PROXY:PORT")
        return
    yield from _check_proxy(network.coordinator, proxy)
    host, port = _first_hop(network.coordinator, proxy)
    for check in (_check_name, _check_port):
        finding = check(host, port, proxy)
        yield finding
        if finding.mend is not None:
            return
    yield from _check_coordinator(network, proxy, site_file)


def _check_proxy(coordinator: str, proxy: WebProxy | None) -> Iterator[Finding]:
    if proxy is None:
        yield ok("proxy", f"{coordinator} is reached directly, without a web proxy.")
    else:
        user = "with a user" if proxy.is_signed_in else "without a user"
        text = f"{coordinator} is reached through {proxy.shown}, {user}."
        yield ok("proxy", text, url=proxy.shown)
    if useless := useless_direct_hosts():
        yield warn(
            "no_proxy",
            f"NO_PROXY has {', '.join(useless)}, which the engine does not understand.",
            "name hosts or single addresses in NO_PROXY, as in: "
            f"export NO_PROXY={coordinator.rpartition(':')[0]}",
        )


def _first_hop(coordinator: str, proxy: WebProxy | None) -> tuple[str, int]:
    if proxy is not None:
        return proxy.host, proxy.port
    host, _, port = coordinator.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _check_name(host: str, port: int, proxy: WebProxy | None) -> Finding:
    if _is_address(host):
        return ok("dns", f"{host} is an address: no name to look up.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        whose = "the web proxy's name in HTTPS_PROXY" if proxy else "[network] coordinator"
        return fail(
            "dns",
            f"the name {host} is not known here ({error.strerror or error}).",
            f"getent hosts {host}   (where it finds nothing: mend {whose}, or the DNS server in "
            "/etc/resolv.conf)",
        )
    addresses = sorted({str(entry[4][0]) for entry in found})
    beyond = "; the web proxy looks up the coordinator" if proxy else ""
    return ok("dns", f"{host} is {', '.join(addresses[:3])}{beyond}.", num=len(addresses))


def _check_port(host: str, port: int, proxy: WebProxy | None) -> Finding:
    began = time.monotonic()
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError as error:
        if proxy is not None:
            mend = "mend HTTPS_PROXY, or ask who runs the web proxy"
        elif isinstance(error, ConnectionRefusedError):
            mend = (
                f"ask the coordinator whether its proxy is up and listens on port {port}; the "
                "node itself may be started, it waits for it"
            )
        else:
            mend = f"ask for one firewall rule: outgoing TCP from here to {host}, port {port}"
        reason = error.strerror or str(error) or type(error).__name__
        return fail("tcp", f"{host} port {port} does not answer ({reason}).", mend)
    milliseconds = (time.monotonic() - began) * 1_000
    return ok("tcp", f"{host} port {port} answers in {milliseconds:.0f} ms.", ms=milliseconds)


def _check_coordinator(
    network: ConnectionConfig, proxy: WebProxy | None, site_file: Path
) -> Iterator[Finding]:
    import httpx

    try:
        coordinator = Coordinator(network, proxy)
    except (OSError, ValueError):
        # The certificate check says what is wrong with the file.
        return
    try:
        with coordinator.trusted() as client:
            began = time.time()
            with client.stream("GET", "/v1/fleet/") as response:
                middle = (began + time.time()) / 2
                yield from check_response(response, network, middle)
            yield _check_routes(client, network.coordinator)
    except httpx.HTTPError as error:
        yield explain_refusal(error, coordinator, network, proxy, site_file)


_CLOSED_ROUTES = ("/v1/control/list-runs", "/v1/runtime/pull-messages", "/docs")


def _check_routes(client: "httpx.Client", coordinator: str) -> Finding:
    open_routes = [route for route in _CLOSED_ROUTES if _status(client, route) not in {403, 404}]
    if open_routes:
        return warn(
            "routes",
            f"{coordinator} lets outsiders reach {', '.join(open_routes)}: anyone could start "
            "studies there.",
            "tell the coordinator to use the nginx.conf that `fedehr-server init` wrote",
        )
    return ok("routes", "the coordinator shows nothing but the nodes' own routes.")


def _status(client: "httpx.Client", route: str) -> int:
    with client.stream("GET", route) as response:
        return response.status_code


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
