"""What a person types for a coordinator, and the name suggested for a site."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_client.node.coordinator_address import coordinator_address
from fedehr_client.node.site_name import suggested_site_name
from fedehr_client.site import ConnectionConfig, RecordsConfig
from fedehr_shared.errors import UsageError


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("fedehr.example.org", "fedehr.example.org:443"),
        ("fedehr.example.org:8443", "fedehr.example.org:8443"),
        ("https://fedehr.example.org/", "fedehr.example.org:443"),
        ("https://fedehr.example.org:8443", "fedehr.example.org:8443"),
        ("10.0.0.7", "10.0.0.7:443"),
        ("[fd00::7]", "[fd00::7]:443"),
        ("[fd00::7]:8443", "[fd00::7]:8443"),
    ],
)
def test_an_address_gets_its_port(typed: str, meant: str) -> None:
    assert coordinator_address(typed) == meant
    assert coordinator_address(meant) == meant


@pytest.mark.parametrize(
    "typed",
    ["", " ", ":443", "host:", "host:0", "host:65536", "host:x", "fd00::7", "http://host",
     "host/path", "a b", "https://", "host:443:443"],
)  # fmt: skip
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(UsageError, match="HOST"):
        coordinator_address(typed)


@given(st.text(max_size=40))
def test_what_is_taken_is_what_the_site_file_takes(typed: str) -> None:
    try:
        address = coordinator_address(typed)
    except UsageError:
        return
    ConnectionConfig(coordinator=address, root_certificates="c", private_key="k")


@given(st.text(max_size=100))
def test_a_suggested_name_is_always_a_name(host: str) -> None:
    RecordsConfig(name=suggested_site_name(host), records="r")


def test_a_suggested_name_is_of_the_host() -> None:
    assert suggested_site_name("GPU-01.north.example.org") == "gpu-01"
    assert suggested_site_name("") == "site"
