"""One compute file for all sites of a simulation: read, passed on, and refused where wrong."""

import os
from pathlib import Path

import pytest

from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import COMPUTE, SITES_FOLDER, WORK_FOLDER, SiteLocator
from fedehr_shared.errors import ConfigError
from fedehr_simulations.sites_compute import set_sites_compute, sites_compute


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMPUTE, "")


def _file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "compute.toml"
    file.write_text(text)
    return file


def test_the_file_reaches_the_sites(tmp_path: Path) -> None:
    (tmp_path / "sites" / "a" / "data").mkdir(parents=True)
    (tmp_path / "sites" / "a" / "metadata").mkdir()
    set_sites_compute(_file(tmp_path, "[compute]\nprecision = 'fp32'\ntoken_budget = 4096\n"))
    expected = ComputeConfig(precision="fp32", token_budget=4_096)
    assert sites_compute(None) == expected
    assert sites_compute(3).num_threads == 3
    environ = {
        COMPUTE: os.environ[COMPUTE],
        SITES_FOLDER: str(tmp_path / "sites"),
        WORK_FOLDER: str(tmp_path / "work"),
    }
    assert SiteLocator().locate(environ, {"partition-id": 0}).compute == expected


def test_its_own_number_of_threads_goes_first(tmp_path: Path) -> None:
    set_sites_compute(_file(tmp_path, "[compute]\nnum_threads = 2\n"))
    assert sites_compute(7).num_threads == 2


def test_without_a_file_nothing_changes() -> None:
    set_sites_compute(None)
    assert sites_compute(1) == ComputeConfig(num_threads=1)


@pytest.mark.parametrize("text", ["precision = 'fp32'\n", "[compute]\nprecison = 'fp32'\n",
    "[compute]\ntoken_budget = 1\n", "[compute"])  # fmt: skip
def test_a_wrong_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"compute\.toml"):
        set_sites_compute(_file(tmp_path, text))


@pytest.mark.parametrize("text", ["{", "[]", '{"device": "tpu"}', "7"])
def test_a_wrong_variable_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(COMPUTE, text)
    with pytest.raises(ConfigError, match=COMPUTE):
        sites_compute(1)
