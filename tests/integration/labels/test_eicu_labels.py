"""Tasks on eICU against the labels that its importer makes from the source tables themselves."""

from pathlib import Path

import pandas as pd
import pytest

from fedehr_client.importers.eicu.importer import EicuImporter
from fedehr_client.importers.eicu.site_by import SiteBy
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.importer import run_import
from fedehr_client.tasks.catalog import read_task, task_file
from fedehr_client.tasks.labeling import make_labels
from fedehr_client.tasks.leakage import LeakRoles, check_leakage
from fedehr_client.tasks.site_query import QueryLimits
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import FederationFolder, SiteFolder

REAL = Path(__file__).parents[4] / "shared" / "data"
LIMITS = QueryLimits(500 * 10**6)
ENDS = r"(ICU_DISCHARGE|HOSPITAL_DISCHARGE|MEDS_DEATH)(//.*)?"
SAME = {"in_hospital_death_from_icu": "in_hospital_death", "stay_over_7_days_from_icu": "long_stay"}
"""Our tasks, and the importer's own that ask the same."""


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> list[SiteFolder]:
    tables, hourly = REAL / "eicu_demo", REAL / "eicu_demo_hourly"
    if not tables.is_dir() or not hourly.is_dir():
        pytest.skip("no eICU demo tables in ../shared/data")
    out = tmp_path_factory.mktemp("eicu") / "out"
    run_import(
        EicuImporter(tables, hourly, SiteBy.REGION),
        out,
        ImportSettings(memory_limit_bytes=8 * 10**9),
        lambda _: None,
    )
    return FederationFolder(out).sites


def _made(site: SiteFolder, name: str) -> pd.DataFrame:
    return make_labels(site, read_task(task_file(name)), LIMITS).labels.to_pandas()


def _of_importer(site: SiteFolder, task: str) -> pd.DataFrame:
    return pd.read_parquet(site.labels_file(task))


@pytest.mark.parametrize(("name", "own"), SAME.items())
def test_tasks_give_the_labels_of_the_source_tables(
    name: str, own: str, sites: list[SiteFolder]
) -> None:
    ours = pd.concat([_made(site, name).assign(site=site.name) for site in sites])
    theirs = pd.concat([_of_importer(site, own).assign(site=site.name) for site in sites])
    both = ours.merge(theirs, on=["site", "subject_id", "prediction_time"], how="outer",
                      suffixes=("_ours", "_theirs"), indicator=True)  # fmt: skip
    same = both[both["_merge"] == "both"]
    assert len(same) == len(theirs) > 1_200
    assert (same["boolean_value_ours"] == same["boolean_value_theirs"]).all()
    assert 0 < same["boolean_value_ours"].sum() < len(same)
    # A site knows its own stays alone, so who was at two sites has an index stay at each; the
    # importer, which sees all sites, keeps the first.
    more = both[both["_merge"] == "left_only"]
    assert len(more) < 10
    assert more["subject_id"].isin(theirs["subject_id"]).all()


@pytest.mark.parametrize(("name", "own"), [("in_hospital_death", "in_hospital_death"),
                                           ("stay_over_7_days", "long_stay")])  # fmt: skip
def test_tasks_from_hospital_admission_agree_on_the_same_stays(
    name: str, own: str, sites: list[SiteFolder]
) -> None:
    """Another index event, another prediction time, and still the same stay: the same outcome."""
    num = 0
    for site in sites:
        events = pd.concat([pd.read_parquet(file) for file in site.data_files])
        admitted = events[events["code"].str.startswith("HOSPITAL_ADMISSION//")]
        unit = events[events["code"].str.startswith("ICU_ADMISSION//")]
        day = pd.Timedelta("24h")
        ours = _made(site, name).merge(admitted, on="subject_id")
        ours = ours[ours["prediction_time"] - day == ours["time"]]
        theirs = _of_importer(site, own).merge(unit, on="subject_id")
        theirs = theirs[theirs["prediction_time"] - day == theirs["time"]]
        both = ours.merge(theirs, on=["subject_id", "visit_id"])
        assert (both["boolean_value_x"] == both["boolean_value_y"]).all()
        num += len(both)
    assert num > 1_100


def test_readmission_is_refused_where_dates_are_fictional(sites: list[SiteFolder]) -> None:
    with pytest.raises(DataError, match="fictional"):
        make_labels(sites[0], read_task(task_file("readmission_30_days")), LIMITS)


@pytest.mark.parametrize("name", [*SAME, "icu_death"])
def test_an_input_shows_the_end_of_no_stay_but_earlier_ones(
    name: str, sites: list[SiteFolder]
) -> None:
    for site in sites:
        events = pd.concat([pd.read_parquet(file) for file in site.data_files])
        seen = events[events["code"].str.fullmatch(ENDS)].merge(_made(site, name), on="subject_id")
        seen = seen[seen["time"] <= seen["prediction_time"]]
        assert (seen["time"] <= seen["prediction_time"] - pd.Timedelta("24h")).all()
        assert not seen["code"].str.startswith("MEDS_DEATH").any()


@pytest.mark.parametrize("name", [*SAME, "icu_death", "in_hospital_death", "stay_over_3_days"])
def test_no_task_leaks(name: str, sites: list[SiteFolder]) -> None:
    task = read_task(task_file(name))
    for site in sites:
        labels = make_labels(site, task, LIMITS).labels
        report = check_leakage(site, name, labels, LeakRoles.of_task(task), LIMITS)
        assert not report.is_leaking, report.explain()
