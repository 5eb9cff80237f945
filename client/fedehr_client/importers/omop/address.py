"""`DatabaseAddress`: where a PostgreSQL database is, shown without its password."""

from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from fedehr_shared.errors import UsageError

SCHEMES = ("postgresql", "postgres")
_DEFAULTS = {"connect_timeout": "10", "application_name": "fedehr-client"}


def is_database(source: str) -> bool:
    """Whether `source` is the URL of a database rather than the path of a folder."""
    return source.partition("://")[0].lower() in SCHEMES and "://" in source


@dataclass(frozen=True)
class DatabaseAddress:
    """A `postgresql://` URL; its `str` and its `repr` never hold a secret.

    A password may stand in it, but PGPASSWORD, PGPASSFILE or `~/.pgpass` serve as well, and
    do not show in the list of processes.

    Raises:
        UsageError: the URL cannot be read.
    """

    _parts: SplitResult

    @classmethod
    def parse(cls, url: str) -> "DatabaseAddress":
        """Read a URL.

        Raises:
            UsageError: it is malformed; the message does not repeat it.
        """
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            parts = SplitResult("", "", "", "", "")
        # An @ after the host: a password with / or ? in it was taken apart.
        rest = parts.path + parts.query
        if parts.scheme not in SCHEMES or parts.fragment or "@" in rest:
            raise UsageError(
                "the database's URL cannot be read. Write postgresql://USER@HOST:PORT/DATABASE, "
                "with special characters percent-encoded (# as %23, / as %2F)."
            )
        return cls(parts)

    @property
    def url(self) -> str:
        """The whole URL, secrets included: for the driver alone."""
        query = dict(parse_qsl(self._parts.query, keep_blank_values=True))
        return urlunsplit(self._parts._replace(query=urlencode({**_DEFAULTS, **query})))

    @property
    def masked(self) -> str:
        """The URL with `***` for its password, and without its options."""
        who, at, where = self._parts.netloc.rpartition("@")
        user, colon, _ = who.partition(":")
        netloc = f"{user}{':***' if colon else ''}{at}{where}"
        return urlunsplit(self._parts._replace(netloc=netloc, query=""))

    def __str__(self) -> str:
        return self.masked

    def __repr__(self) -> str:
        return f"DatabaseAddress({self.masked!r})"
