"""The coordinator's address, as a person types it."""

from fedehr_shared.errors import UsageError

HTTPS_PORT = 443
"""Where a coordinator's proxy listens unless it says otherwise."""


def coordinator_address(text: str) -> str:
    """`host:port` of `HOST`, `HOST:PORT` or an `https://` address of either.

    Raises:
        UsageError: it is none of them.
    """
    host = text.strip().removeprefix("https://").rstrip("/")
    name, separator, port = host.rpartition(":")
    # An address of IPv6 has colons of its own, and stands in brackets.
    if not separator or host.endswith("]"):
        name, port = host, str(HTTPS_PORT)
    is_port = port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535
    bare = name.removeprefix("[").removesuffix("]")
    is_name = bool(bare) and (":" not in bare or name == f"[{bare}]")
    if not (is_port and is_name) or "/" in name or any(map(str.isspace, name)):
        raise UsageError(
            f"{text!r} is no coordinator's address. Give HOST or HOST:PORT, for example "
            "fedehr.example.org or fedehr.example.org:8443."
        )
    return f"{name}:{int(port)}"
