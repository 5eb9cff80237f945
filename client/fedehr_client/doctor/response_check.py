"""What one answer of the coordinator tells: its certificate, whether it is up, its clock."""

import email.utils
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedehr_client.doctor.certificate_check import expiry
from fedehr_client.doctor.coordinator import peer_certificate
from fedehr_client.doctor.finding import Finding, fail, ok, warn
from fedehr_client.node.connection import BEHIND_IS_DOWN
from fedehr_client.site import ConnectionConfig

if TYPE_CHECKING:
    import httpx

WARN_SKEW_SECONDS = 60.0
MOST_SKEW_SECONDS = 300.0
"""The engine refuses signatures that are further off."""


def check_response(
    response: "httpx.Response", network: ConnectionConfig, asked_at: float
) -> Iterator[Finding]:
    """Certificate, the engine behind the proxy, and the clock.

    Args:
        response: to a request for the fleet routes, which no key signed.
        network: the site file's section.
        asked_at: our clock in the middle of the request, in seconds since 1970.
    """
    shown = peer_certificate(response)
    own = network.contract_authority
    if own is not None and own != network.root_certificates:
        what = f"the certificate that {network.coordinator} shows, made by {shown.issuer},"
    else:
        what = f"the certificate of {network.coordinator}"
    mend = "ask the coordinator to renew its server certificate"
    yield expiry("tls", what, shown.ends, mend)
    yield _check_engine(response.status_code, network.coordinator)
    yield _check_clock(response.headers.get("date"), asked_at)


def _check_engine(status: int, coordinator: str) -> Finding:
    if status in BEHIND_IS_DOWN:
        return fail(
            "coordinator",
            f"{coordinator} answers, but the program behind it does not (status {status}).",
            "ask the coordinator to run `fedehr-server start`; a node that has joined before may "
            "be started meanwhile, it waits",
            status=status,
        )
    if status == 403:
        return fail(
            "coordinator",
            f"{coordinator} refuses the nodes' routes (status 403).",
            "ask the coordinator whether this is its proxy's address and port",
            status=status,
        )
    return ok("coordinator", f"{coordinator} is up.", status=status)


def _check_clock(date: str | None, asked_at: float) -> Finding:
    if date is None:
        return ok("clock", "the coordinator tells no time: not compared.")
    try:
        theirs = email.utils.parsedate_to_datetime(date).timestamp()
    except ValueError:
        return ok("clock", "the coordinator tells no readable time: not compared.")
    # The header has whole seconds: on average half a second has gone.
    skew = asked_at - (theirs + 0.5)
    way = "ahead of" if skew > 0 else "behind"
    text = f"this machine's clock is {abs(skew):.0f} s {way} the coordinator's."
    mend = "timedatectl set-ntp true   (or set the clock by hand)"
    if abs(skew) > MOST_SKEW_SECONDS:
        return fail("clock", f"{text} It refuses every signature.", mend, skew_seconds=skew)
    if abs(skew) > WARN_SKEW_SECONDS:
        return warn("clock", text, mend, skew_seconds=skew)
    return ok("clock", "this machine's clock agrees with the coordinator's.", skew_seconds=skew)
