"""The coordinator's folder: private, complete, never written over."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from fedehr_server.network.coordinator import (
    CoordinatorNetworkConfig,
    create_coordinator,
    open_coordinator,
    require_name,
)
from fedehr_server.network.superlink import superlink_command, superlink_environment
from fedehr_shared.errors import ConfigError, UsageError

NETWORK = CoordinatorNetworkConfig(host="localhost", port=18443, proxy_port=18444)


def test_it_is_private_and_reads_back(tmp_path: Path) -> None:
    made = create_coordinator(tmp_path / "c", NETWORK)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    assert open_coordinator(tmp_path / "c").config().network == NETWORK


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        create_coordinator(tmp_path, NETWORK)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_wrong_host_leaves_nothing(tmp_path: Path) -> None:
    wrong = CoordinatorNetworkConfig(host="no host")
    with pytest.raises(ConfigError):
        create_coordinator(tmp_path / "c", wrong)
    assert not (tmp_path / "c").exists()


def test_one_port_cannot_serve_both(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="443"):
        create_coordinator(tmp_path / "c", NETWORK.model_copy(update={"proxy_port": 18443}))


def test_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="init"):
        open_coordinator(tmp_path)


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "-a", "a" * 64, "a\n", "\u00e9"])
def test_a_name_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(UsageError):
        require_name(name)


def test_the_engine_is_told_to_be_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    monkeypatch.setenv("NO_PROXY", "inside.example.org")
    folder = create_coordinator(tmp_path / "c", NETWORK)
    command = superlink_command(folder, 18443, 18445)
    assert "--insecure" not in command
    assert "--disable-runtime-dependency-installation" in command
    assert "--enable-supernode-auth" in command
    environ = superlink_environment(folder)
    assert environ["FLWR_TELEMETRY_ENABLED"] == "0"
    assert environ["FLWR_HOME"].startswith(str(folder.path))
    assert set(environ["NO_PROXY"].split(",")) == {"inside.example.org", "127.0.0.1", "localhost"}


@pytest.mark.debian
def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    nginx = shutil.which("nginx")
    if nginx is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    folder = create_coordinator(tmp_path / "c", NETWORK).path
    command = [nginx, "-t", "-p", str(folder), "-c", "nginx.conf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_place_that_takes_no_folder_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match=r"Not a directory\. Name another folder"):
        create_coordinator(tmp_path / "file" / "coordinator", NETWORK)
