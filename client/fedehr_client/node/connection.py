"""A look at the coordinator before the engine starts: can it be reached, is it the right one?

The engine retries a refused connection or a wrong certificate for ever and in silence; a
person at a hospital needs the reason at once. The hospital's web proxy, when the
environment names one, is used as the engine will use it.
"""

import ssl
from pathlib import Path

from fedehr_shared.errors import ConfigError, NetworkError

CONNECT_SECONDS = 10.0
BEHIND_IS_DOWN = frozenset({502, 503, 504})
"""What a proxy answers whose own upstream does not."""


def check_coordinator(coordinator: str, root_certificates: Path) -> None:
    """Connect to `coordinator` (`host:port`) over TLS once.

    Raises:
        ConfigError: the certificate file is unreadable, or the web proxy is of a wrong kind.
        NetworkError: nothing answers, or only the coordinator's own proxy does, or its
            certificate is not from `root_certificates` or not for this name.
    """
    import httpx

    from fedehr_client.node.proxy import proxy_to

    proxy = proxy_to(coordinator)
    try:
        context = ssl.create_default_context(cafile=str(root_certificates))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"cannot use {root_certificates} as root certificates. "
            "Ask the coordinator for its ca.crt."
        ) from error
    try:
        with (
            httpx.Client(
                verify=context,
                timeout=CONNECT_SECONDS,
                proxy=None if proxy is None else proxy.url,
                trust_env=False,
            ) as client,
            client.stream("GET", f"https://{coordinator}/v1/fleet/") as response,
        ):
            status = response.status_code
    except httpx.HTTPError as error:
        raise NetworkError(_explain(coordinator, root_certificates, error)) from error
    if status in BEHIND_IS_DOWN:
        raise NetworkError(
            f"{coordinator} answers, but the program behind it does not (status "
            f"{status}). Ask the coordinator to run `fedehr-server start`."
        )


def _explain(coordinator: str, root_certificates: Path, error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            f"{coordinator} shows a certificate that {root_certificates} does not vouch for "
            f"({text}). Ask the coordinator for its current ca.crt and the name it is for."
        )
    if "SSL" in text:
        return f"{coordinator} does not speak TLS ({text}). Check the port with the coordinator."
    return (
        f"cannot reach {coordinator} ({text}). Check the address, the hospital's firewall and "
        "that the coordinator is up."
    )
