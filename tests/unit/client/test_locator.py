"""`SiteLocator`: the site file wins, then the partition; nothing else names a path."""

from pathlib import Path

import pytest

from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocator, ceilings_of
from fedehr_client.site import CeilingsConfig
from fedehr_shared.errors import ConfigError, DataError


def _federation(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name / "metadata").mkdir(parents=True)
    return folder


def _site_file(folder: Path, more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "site.toml"
    file.write_text(
        f'[site]\nname = "north"\nrecords = "records"\n{more}\n[ceilings]\nmin_cell = 20\n'
        '[network]\ncoordinator = "a:1"\nroot_certificates = "c"\nprivate_key = "k"\n'
    )
    return file


def test_partitions_follow_the_sorted_names(tmp_path: Path) -> None:
    sites = _federation(tmp_path / "sites", "west", "east", "north")
    environ = {"FEDEHR_SITES_FOLDER": str(sites), "FEDEHR_WORK_FOLDER": str(tmp_path / "work")}
    found = [SiteLocator().locate(environ, {"partition-id": n}) for n in range(3)]
    assert [location.name for location in found] == ["east", "north", "west"]
    assert len({location.work for location in found}) == 3
    assert {location.min_cell for location in found} == {11}


def test_the_site_file_wins(tmp_path: Path) -> None:
    sites = _federation(tmp_path / "sites", "east")
    file = _site_file(tmp_path / "node")
    (tmp_path / "node" / "records").mkdir()
    environ = {
        "FEDEHR_SITE_FILE": str(file),
        "FEDEHR_SITES_FOLDER": str(sites),
        "FEDEHR_WORK_FOLDER": str(tmp_path / "work"),
    }
    location = SiteLocator().locate(environ, {"partition-id": 0})
    assert location.name == "north"
    assert location.records.path == tmp_path / "node" / "records"
    assert location.work == tmp_path / "node" / "work"
    assert location.min_cell == 20
    assert location.compute.num_threads is None


@pytest.mark.parametrize(("in_file", "expected"), [("", 3), ("[compute]\nnum_threads = 1", 1)])
def test_threads_come_from_the_file_then_the_environment(
    tmp_path: Path, in_file: str, expected: int
) -> None:
    file = _site_file(tmp_path / "node", in_file)
    (tmp_path / "node" / "records").mkdir()
    environ = {"FEDEHR_SITE_FILE": str(file), "FEDEHR_NUM_THREADS": "3"}
    assert SiteLocator().locate(environ, {}).compute.num_threads == expected


def test_settings_of_a_simulation(tmp_path: Path) -> None:
    sites = _federation(tmp_path / "sites", "east")
    environ = {
        "FEDEHR_SITES_FOLDER": str(sites),
        "FEDEHR_WORK_FOLDER": str(tmp_path / "work"),
        "FEDEHR_NUM_THREADS": "2",
        "FEDEHR_MIN_CELL": "5",
    }
    location = SiteLocator().locate(environ, {"partition-id": 0})
    assert (location.compute.num_threads, location.min_cell) == (2, 5)
    with pytest.raises(ConfigError, match="FEDEHR_MIN_CELL"):
        SiteLocator().locate({**environ, "FEDEHR_MIN_CELL": "many"}, {"partition-id": 0})


def test_sections_come_by_json_and_are_taken_as_what_they_are(tmp_path: Path) -> None:
    sites = _federation(tmp_path / "sites", "east")
    environ = {"FEDEHR_SITES_FOLDER": str(sites), "FEDEHR_WORK_FOLDER": str(tmp_path / "work")}
    compute = ComputeConfig(num_threads=2, token_budget=4_096, deterministic=True)
    ceilings = CeilingsConfig(subject_epsilon=3, tasks=("death",))
    told = {
        "FEDEHR_COMPUTE": compute.model_dump_json(),
        "FEDEHR_CEILINGS": ceilings.model_dump_json(),
    }
    assert SiteLocator().locate({**environ, **told}, {"partition-id": 0}).compute == compute
    assert ceilings_of(told) == ceilings
    for text in ('{"deterministic": "yes"}', '{"deterministic": 1}', '{"num_threads": "2"}'):
        with pytest.raises(ConfigError, match="FEDEHR_COMPUTE"):
            SiteLocator().locate({**environ, "FEDEHR_COMPUTE": text}, {"partition-id": 0})


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    sites = _federation(tmp_path / "sites", "east")
    with pytest.raises(ConfigError, match="FEDEHR_SITE_FILE"):
        SiteLocator().locate({}, {"partition-id": 0})
    environ = {"FEDEHR_SITES_FOLDER": str(sites)}
    with pytest.raises(ConfigError, match="FEDEHR_WORK_FOLDER"):
        SiteLocator().locate(environ, {"partition-id": 0})
    environ["FEDEHR_WORK_FOLDER"] = str(tmp_path)
    with pytest.raises(ConfigError, match="partition-id"):
        SiteLocator().locate(environ, {})
    with pytest.raises(DataError, match="1"):
        SiteLocator().locate(environ, {"partition-id": 1})
    with pytest.raises(DataError, match="records"):
        SiteLocator().locate({"FEDEHR_SITE_FILE": str(_site_file(tmp_path / "node"))}, {})
