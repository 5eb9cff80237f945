"""What a site may call itself: its name stands in files, logs and tables."""

from fedehr_shared.errors import WireError

_LONGEST = 200


def check_site_name(name: str) -> None:
    """Refuse a name that no table can show.

    Raises:
        WireError: it is empty, too long or not printable.
    """
    if not 0 < len(name) <= _LONGEST or not name.isprintable():
        raise WireError("a site's name is empty, too long or not printable.")
