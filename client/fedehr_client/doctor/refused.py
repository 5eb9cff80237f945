"""Why no trusted connection to the coordinator came about, with the line that mends it."""

from pathlib import Path
from ssl import SSLCertVerificationError
from typing import TYPE_CHECKING

from fedehr_client.doctor.coordinator import Coordinator, PeerCertificate, tls_error
from fedehr_client.doctor.finding import Finding, fail
from fedehr_client.node.proxy import WebProxy
from fedehr_client.site import ConnectionConfig

if TYPE_CHECKING:
    import httpx

# Of OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _ENDED = 9, 10
_OTHER_NAME = frozenset({62, 64})


def explain_refusal(
    error: "httpx.HTTPError",
    coordinator: Coordinator,
    network: ConnectionConfig,
    proxy: WebProxy | None,
    site_file: Path,
) -> Finding:
    """The finding for a request that failed after the first port had answered."""
    import httpx

    cause = tls_error(error)
    if isinstance(cause, SSLCertVerificationError):
        shown = coordinator.shown_certificate()
        return _explain_certificate(cause, shown, network, site_file)
    if isinstance(error, httpx.ProxyError) and proxy is not None:
        return _explain_proxy(str(error), network.coordinator, proxy)
    if cause is not None:
        text = f"{network.coordinator} does not speak TLS ({cause.reason or cause})."
        return fail("tls", text, f"ask the coordinator for its port and mend {site_file}")
    via = f" through {proxy.shown}" if proxy else ""
    text = f"{network.coordinator} broke off{via} ({type(error).__name__})."
    mend = "run the doctor again; if it stays so, ask who runs the firewall or web proxy"
    return fail("tls", text, mend)


def _explain_proxy(reason: str, coordinator: str, proxy: WebProxy) -> Finding:
    text = f"the web proxy {proxy.shown} refuses a way to {coordinator} ({reason[:80]})."
    if "407" in reason:
        mend = f"export HTTPS_PROXY={proxy.scheme}://USER:PASSWORD@{proxy.shown.split('//')[1]}"
    elif any(status in reason for status in ("502", "503", "504")):
        mend = "ask the coordinator whether it is up; the node itself may be started, it waits"
    else:
        mend = f"ask who runs the web proxy to allow CONNECT to {coordinator}"
    return fail("tls", text, mend)


def _explain_certificate(
    error: SSLCertVerificationError,
    shown: PeerCertificate | None,
    network: ConnectionConfig,
    site_file: Path,
) -> Finding:
    coordinator, trusted = network.coordinator, network.root_certificates
    issuer = shown.issuer if shown else "unknown"
    if error.verify_code == _ENDED:
        text = f"a certificate that {coordinator} shows, or {trusted}, has ended."
        return fail("tls", text, "ask the coordinator to renew it; if it lasts, set the clock")
    if error.verify_code == _NOT_YET_VALID:
        text = f"the certificate of {coordinator} begins in the future: the clock here is behind."
        return fail("tls", text, "timedatectl set-ntp true   (or set the clock by hand)")
    if error.verify_code in _OTHER_NAME:
        names = ", ".join(shown.names[:5]) if shown else "another name"
        return fail(
            "tls",
            f"the certificate that {coordinator} shows is for {names}.",
            f"write one of these names as [network] coordinator in {site_file}",
        )
    return fail(
        "tls",
        f"{coordinator} shows a certificate made by {issuer}, for which {trusted} does not vouch.",
        f"if {issuer} is this hospital's web proxy: save its authority as "
        f'{site_file.parent / "proxy-ca.crt"}, set root_certificates = "proxy-ca.crt" in '
        f"{site_file} and leave contract_authority as it is; otherwise ask the coordinator for "
        "its current ca.crt",
        issuer=issuer,
    )
