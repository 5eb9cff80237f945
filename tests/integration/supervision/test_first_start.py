"""A first start that cannot succeed says why, and leaves nothing behind."""

import socket
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long


def _assert_refused(site: Any, said: str, *words: str, code: int = 5) -> str:
    done = site.run("start", *words)
    assert done.returncode == code, done.stderr
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert site.members() == []
    assert site.status()["running"] is False
    return str(done.stderr)


def test_a_coordinator_of_another_authority(coordinator: Any, tmp_path: Path, run: Any) -> None:
    assert run("fedehr-server", "init", tmp_path / "other", "--host", "localhost").returncode == 0
    site = coordinator.make_site("misled", ca=tmp_path / "other" / "pki" / "ca.crt")
    _assert_refused(site, "ca.crt", "--detach")
    assert "ca.crt" in site.status()["reason"]


@pytest.mark.parametrize("words", [(), ("--detach",)])
def test_nobody_there(coordinator: Any, words: tuple[str, ...]) -> None:
    site = coordinator.make_site(f"early{len(words)}")
    file = site.folder / "site.toml"
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        file.write_text(file.read_text().replace(f":{coordinator.port}", f":{port}"))
        _assert_refused(site, f"localhost:{port}", *words)


def test_a_taken_monitoring_port(coordinator: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        site = coordinator.make_site("crowded")
        site.replace("[monitoring]", f"[monitoring]\nhttp_port = {port}")
        told = _assert_refused(site, "Set [monitoring] http_port", "--detach")
        assert told.count("Address already in use") == 1, "said twice"


def test_what_cannot_start_is_said_at_once(coordinator: Any) -> None:
    site = coordinator.make_site("broken")
    (site.folder / "node.key").write_text("no key")
    _assert_refused(site, "private key", "--detach", code=3)
    text = (site.folder / "site.toml").read_text()
    (site.folder / "site.toml").write_text(text.replace(str(coordinator.records), "/nowhere"))
    _assert_refused(site, "records", code=4)


def test_an_unknown_key_in_the_foreground(coordinator: Any) -> None:
    site = coordinator.make_site("stranger")
    _assert_refused(site, "fedehr-server site add")


def test_an_unknown_key_in_the_background_is_tried_until_it_is_known(
    coordinator: Any, wait_for: Any
) -> None:
    site = coordinator.make_site("patient")
    done = site.run("start", "--detach")
    assert done.returncode == 5
    assert "fedehr-server site add" in done.stderr
    assert (site.status()["state"], site.status()["running"]) == ("waiting", True)
    num_lines = len(site.read("node").splitlines())
    coordinator.add(site)
    wait_for(lambda: site.told()["state"] == "joined", 90)
    assert len(site.read("node").splitlines()) <= num_lines + 3, "it tries quietly"
    site.must("stop")
