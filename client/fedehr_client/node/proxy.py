"""Which web proxy the engine takes to the coordinator, as its HTTP library decides it.

`HTTPS_PROXY` (else `ALL_PROXY`) names the proxy, `NO_PROXY` the hosts that are reached
without one: names with their subdomains, addresses one by one. Spans of addresses
(10.0.0.0/8) and patterns (*.example.org) do nothing there.
"""

import ipaddress
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

from fedehr_shared.errors import ConfigError
from fedehr_shared.processes import engine_environment

_SCHEMES = ("http", "https")
_HTTPS = 443
_DEFAULT_PORTS = {"http": 80, "https": _HTTPS}


@dataclass(frozen=True)
class WebProxy:
    """A hospital's web proxy.

    Attributes:
        url: as the environment gives it; it may hold a password.
        scheme: how the proxy itself is spoken to.
        host: its name or address.
        port: its port.
        is_signed_in: whether the environment gives a user for it.
    """

    url: str
    scheme: str
    host: str
    port: int
    is_signed_in: bool

    def __repr__(self) -> str:
        return f"WebProxy({self.shown})"

    @property
    def shown(self) -> str:
        """Without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def proxy_to(coordinator: str) -> WebProxy | None:
    """The proxy that the engine's programs take to `coordinator` (`host:port`); None: none.

    Raises:
        ConfigError: the environment names a proxy of a kind that the engine cannot use.
    """
    host = coordinator.rpartition(":")[0].removeprefix("[").removesuffix("]").lower()
    named = urllib.request.getproxies_environment()
    url = named.get("https") or named.get("all")
    if not url or _is_direct(host, coordinator, direct_hosts()):
        return None
    return _parse(url if "://" in url else f"http://{url}")


def direct_hosts() -> list[str]:
    """The entries of `NO_PROXY` as the engine's programs get them."""
    entries = engine_environment()["NO_PROXY"].split(",")
    return [entry.strip() for entry in entries if entry.strip()]


def useless_direct_hosts() -> list[str]:
    """Entries of `NO_PROXY` that look like they name several hosts, and do nothing."""
    return [
        entry
        for entry in direct_hosts()
        if "://" not in entry and ("/" in entry or ("*" in entry and entry != "*"))
    ]


def _is_direct(host: str, coordinator: str, entries: list[str]) -> bool:
    port = int(coordinator.rpartition(":")[2])
    return any(_matches(entry.lower(), host, port) for entry in entries)


def _matches(entry: str, host: str, port: int) -> bool:
    if "://" in entry:
        return _matches_whole(entry, host, port)
    place, wanted_port = _split_port(entry)
    # The library leaves out the port that https implies, so naming it matches nothing.
    if wanted_port is not None and (wanted_port != port or port == _HTTPS):
        return False
    if _is_address(place) or place == "localhost":
        return host == place
    if place.startswith("."):
        return host.endswith(place) and host != place
    return place in {"*", host} or host.endswith(f".{place}")


def _matches_whole(entry: str, host: str, port: int) -> bool:
    """Of an entry with a scheme, which does not stand for subdomains."""
    scheme, _, rest = entry.partition("://")
    place, wanted_port = _split_port(rest)
    is_port = wanted_port in {None, port} and (scheme == "https" or wanted_port != _HTTPS)
    return scheme in {"https", "all"} and is_port and place in {"", "*", host}


def _split_port(entry: str) -> tuple[str, int | None]:
    place, separator, port = entry.rpartition(":")
    if separator and port.isascii() and port.isdigit() and (":" not in place or "]" in place):
        return place.removeprefix("[").removesuffix("]"), int(port)
    return entry.removeprefix("[").removesuffix("]"), None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _parse(url: str) -> WebProxy:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
        if parts.scheme in _SCHEMES and parts.hostname:
            return WebProxy(url, parts.scheme, parts.hostname, port, parts.username is not None)
    except ValueError:
        pass
    kind = url.partition("://")[0]
    raise ConfigError(
        f"the environment names a web proxy of kind '{kind}', or without a host, which the engine "
        "cannot use. Set HTTPS_PROXY=http://HOST:PORT"
    )
