"""A name for a site, from the name of its machine."""

import re
import socket

_MOST_CHARACTERS = 63


def suggested_site_name(host: str | None = None) -> str:
    """The first part of a host name, fit for a site's name; `site` where nothing is left.

    `host` left out is this machine's name.
    """
    first = (socket.gethostname() if host is None else host).split(".")[0].lower()
    fit = re.sub(r"[^a-z0-9_-]+", "-", first).strip("-_")[:_MOST_CHARACTERS]
    return fit or "site"
