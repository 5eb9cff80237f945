"""What PostgreSQL's refusals mean, told without its words: they can quote records and secrets."""

import re

from fedehr_client.importers.omop.address import DatabaseAddress
from fedehr_shared.errors import ConfigError, DataError, FedehrError, NetworkError

_NO_RIGHT = "42501"
_STOPPED = ("57014", "57P01", "57P02", "57P03", "25P03", "25P04")
_BROKEN = ("server closed", "terminating connection", "could not receive", "no connection")
_STALE = "40001"
_WRONG_URL = (
    "the database's URL {address} has an option or an encoding that PostgreSQL's library "
    "refuses. Write special characters percent-encoded, and check its options."
)
_CONNECTION: tuple[tuple[str, type[FedehrError], str], ...] = (
    (r"invalid (uri|percent-encoded|port|\S+ value)", ConfigError, _WRONG_URL),
    (
        r'fatal: +database ".*" does not exist',
        ConfigError,
        "there is no database {address}. Check its name.",
    ),
    (
        r"no pg_hba\.conf entry",
        NetworkError,
        "the database {address} does not let this user in from this machine (pg_hba.conf). Ask "
        "its administrator.",
    ),
    (
        r'no password supplied|authentication failed|fatal: +role ".*" does not exist',
        NetworkError,
        "the database {address} refuses this user or password. Give the password in PGPASSWORD "
        "or ~/.pgpass.",
    ),
    (
        r"could not translate host name",
        NetworkError,
        "the host of {address} is not known. Check its name.",
    ),
    (
        r"server does not support ssl|ssl error|certificate",
        NetworkError,
        "no TLS connection to {address}. Check sslmode and certificates.",
    ),
)
"""Signs in libpq's text, which also holds the names of host, user and database."""


def refused_connection(text: str, address: DatabaseAddress) -> FedehrError:
    """The error for a connection that did not come about; libpq gives `text` and no code."""
    told = text.lower()
    for sign, kind, message in _CONNECTION:
        if re.search(sign, told):
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
