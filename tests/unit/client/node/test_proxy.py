"""The web proxy that we say the engine takes is the one that its HTTP library takes."""

import os
from unittest.mock import patch

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.node.proxy import proxy_to, useless_direct_hosts
from fedehr_shared.errors import ConfigError
from fedehr_shared.processes import engine_environment

HOSTS = ["fedehr.example.org", "example.org", "xexample.org", "10.0.0.7", "localhost",
         "[fd00::7]"]  # fmt: skip
ENTRIES = ["*", "example.org", ".example.org", "*.example.org", "FEDEHR.example.org", "org",
           "example.org:443", "example.org:8443", "10.0.0.7", "10.0.0.0/8", "localhost", "fd00::7",
           "https://fedehr.example.org", "https://example.org:8443", "http://example.org",
           "all://10.0.0.7", " example.org ", ""]  # fmt: skip
PROXY = "http://user:secret@proxy.example.net:3128"


def _environment(no_proxy: str, **proxies: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return {**kept, **proxies, "NO_PROXY": no_proxy}


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(ENTRIES), max_size=4),
    st.sampled_from(HOSTS),
    st.sampled_from([443, 8443]),
    st.sampled_from(["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"]),
)
def test_the_choice_is_that_of_the_engines_library(
    entries: list[str], host: str, port: int, variable: str
) -> None:
    with patch.dict(os.environ, _environment(",".join(entries), **{variable: PROXY}), clear=True):
        ours = proxy_to(f"{host}:{port}")
        engine = engine_environment()
    with patch.dict(os.environ, engine, clear=True), httpx.Client(verify=False) as client:
        url = httpx.URL(f"https://{host}:{port}")
        transport = client._transport_for_url(url)
        theirs = transport is not client._transport
    assert (ours is not None) == theirs


def test_no_password_is_ever_shown() -> None:
    with patch.dict(os.environ, _environment("", HTTPS_PROXY=PROXY), clear=True):
        proxy = proxy_to("fedehr.example.org:443")
    assert proxy is not None
    assert proxy.shown == "http://proxy.example.net:3128"
    assert "secret" not in f"{proxy}{proxy!r}"
    assert proxy.is_signed_in


@pytest.mark.parametrize("url", ["socks5://proxy:1080", "http://", "http://proxy:x", "ftp://proxy"])
def test_a_proxy_that_the_engine_cannot_use_is_refused(url: str) -> None:
    with (
        patch.dict(os.environ, _environment("", HTTPS_PROXY=url), clear=True),
        pytest.raises(ConfigError, match="HTTPS_PROXY=http"),
    ):
        proxy_to("fedehr.example.org:443")


def test_entries_that_do_nothing_are_named() -> None:
    no_proxy = "10.0.0.0/8,*.example.org,example.org,*"
    with patch.dict(os.environ, _environment(no_proxy), clear=True):
        assert useless_direct_hosts() == ["10.0.0.0/8", "*.example.org"]
