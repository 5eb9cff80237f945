"""A database's URL never shows its password, however it is written."""

from urllib.parse import parse_qsl, quote, unquote, urlsplit

from hypothesis import example, given
from hypothesis import strategies as st

from fedehr_client.importers.omop.address import DatabaseAddress, is_database
from fedehr_client.importers.omop.importer import OmopImporter
from fedehr_shared.errors import UsageError

SIGN = "QQ"
passwords = st.tuples(
    st.text("0123:@/?#%[]&= \u00e9", max_size=8), st.text("0123:@/?#%[]&= \u00e9", max_size=8)
).map(lambda parts: parts[0] + SIGN + parts[1])


@given(password=passwords, in_query=st.booleans())
def test_an_encoded_password_reaches_the_driver_and_no_one_else(
    password: str, in_query: bool
) -> None:
    encoded = quote(password, safe="")
    where = f"me@host:5432/db?password={encoded}" if in_query else f"me:{encoded}@host:5432/db"
    address = DatabaseAddress.parse(f"postgresql://{where}")
    assert SIGN not in str(address) + repr(address)
    assert "me" in str(address)
    assert "host:5432/db" in str(address)
    parts = urlsplit(address.url)
    options = dict(parse_qsl(parts.query))
    found = options["password"] if in_query else unquote(parts.password or "")
    assert found == password
    assert int(options["connect_timeout"]) > 0


@given(password=passwords)
@example("99/" + SIGN)
@example("99?" + SIGN)
def test_a_password_that_is_not_encoded_is_refused_or_hidden(password: str) -> None:
    try:
        address = DatabaseAddress.parse(f"postgresql://me:{password}@host/db")
        told = str(address) + repr(address)
    except UsageError as error:
        told = str(error)
    assert SIGN not in told


def test_the_importer_shows_no_url() -> None:
    assert SIGN not in repr(OmopImporter(f"postgresql://me:{SIGN}@host/db"))


def test_what_is_a_database() -> None:
    assert is_database("postgresql://h/d")
    assert is_database("postgres://h/d")
    assert not is_database("postgresql")
    assert not is_database("/data/postgresql/cdm")
    assert not is_database("mysql://h/d")
