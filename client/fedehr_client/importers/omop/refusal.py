"""What PostgreSQL's refusals mean, told without its words: they can quote records and secrets."""

from fedehr_client.importers.omop.address import DatabaseAddress
from fedehr_shared.errors import ConfigError, DataError, FedehrError, NetworkError

_NO_RIGHT = "42501"
_STOPPED = ("57014", "57P01", "57P02", "57P03", "25P03", "25P04")
_BROKEN = ("server closed", "terminating connection", "could not receive", "no connection")
_STALE = "40001"
_REFUSED = (
    "the database {address} refuses this user or password. Give the password in PGPASSWORD or "
    "~/.pgpass."
)
_WRONG_URL = (
    "the database's URL {address} has an option or an encoding that PostgreSQL's library "
    "refuses. Write special characters percent-encoded, and check its options."
)
_CONNECTION: tuple[tuple[tuple[str, ...], type[FedehrError], str], ...] = (
    (("percent-encoded",), ConfigError, _WRONG_URL),
    (("invalid",), ConfigError, _WRONG_URL),
    (
        ("database", "does not exist"),
        ConfigError,
        "there is no database {address}. Check its name.",
    ),
    (
        ("pg_hba",),
        NetworkError,
        "the database {address} does not let this user in from this machine (pg_hba.conf). Ask "
        "its administrator.",
    ),
    (("password",), NetworkError, _REFUSED),
    (("authentication",), NetworkError, _REFUSED),
    (("role",), NetworkError, _REFUSED),
    (
        ("translate host name",),
        NetworkError,
        "the host of {address} is not known. Check its name.",
    ),
    (
        ("ssl",),
        NetworkError,
        "no TLS connection to {address}. Check sslmode and certificates.",
    ),
)
"""The first whose signs all stand in libpq's text counts."""


def refused_connection(text: str, address: DatabaseAddress) -> FedehrError:
    """The error for a connection that did not come about; libpq gives `text` and no code."""
    told = text.lower()
    for signs, kind, message in _CONNECTION:
        if all(sign in told for sign in signs):
            return kind(message.format(address=address))
    return NetworkError(
        f"no connection to the database {address}. Check that PostgreSQL runs there and that "
        "this machine may reach it."
    )


def refused_query(text: str, sqlstate: str | None, table: str) -> FedehrError:
    """The error for a query on `table` that failed; `sqlstate` is None in the middle of rows."""
    code = sqlstate or ""
    if code == _NO_RIGHT:
        return ConfigError(
            f"this role may not read table '{table}'. Ask for GRANT SELECT (and USAGE on its "
            "schema)."
        )
    if code in _STOPPED or "statement timeout" in text:
        return NetworkError(
            f"the database stopped the reading of table '{table}'. Raise the role's "
            "statement_timeout, or import at a quieter time."
        )
    if code == _STALE or "conflict with recovery" in text:
        return NetworkError(
            f"the standby dropped the snapshot while table '{table}' was read. Raise its "
            "max_standby_streaming_delay, or read from the primary."
        )
    if any(part in text for part in _BROKEN):
        return NetworkError(
            f"the connection broke while table '{table}' was read. Nothing was written; run the "
            "import again."
        )
    return DataError(
        f"the database could not deliver table '{table}'"
        f"{f' (SQLSTATE {code})' if code.isalnum() else ''}: a value does not fit its type. "
        "Read the table with psql to find it."
    )
