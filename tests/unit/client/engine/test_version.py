"""The engine must be the very one whose internals were read."""

from importlib.metadata import version
from typing import Any

import pytest
from flwr.supercore.runtime import RuntimeHttpClient

from fedehr_client.engine import version as engine_version
from fedehr_client.engine.errors import EngineVersionError
from fedehr_client.engine.runtime_tasks import RuntimeTasks
from fedehr_client.engine.version import ENGINE_VERSION, fingerprint, require_engine


def test_the_installed_engine_is_the_one_that_was_read() -> None:
    # Whoever raises flwr's version must read its internals again (engine/version.py).
    assert version("flwr") == ENGINE_VERSION
    assert fingerprint() == engine_version.FINGERPRINT


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_version, "version", lambda _name: "1.42.0")
    with pytest.raises(EngineVersionError, match=r"1\.42\.0"):
        require_engine()
    with pytest.raises(EngineVersionError):
        RuntimeTasks(1, b"secret")


def _with_more(self: Any, request: Any, timeout: float = 1.0) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("name", ["AcquireTask", "PushObject"])
def test_a_call_that_looks_different_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(RuntimeHttpClient, name, _with_more)
    with pytest.raises(EngineVersionError, match="different"):
        require_engine()


def test_a_call_that_is_gone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(RuntimeHttpClient, "PullTaskInput")
    with pytest.raises(EngineVersionError, match="PullTaskInput"):
        require_engine()
