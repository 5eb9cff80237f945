"""Tasks on MIMIC-IV against the admissions table itself, read by pandas."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from fedehr_client.tasks.catalog import read_task, task_file
from fedehr_client.tasks.labeling import make_labels
from fedehr_client.tasks.site_query import QueryLimits
from fedehr_shared.meds.folder import SiteFolder

REAL = Path(__file__).parents[4] / "shared" / "data" / "mimic4_demo"
LIMITS = QueryLimits(500 * 10**6)
DAY = pd.Timedelta("24h")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> SiteFolder:
    if not REAL.is_dir():
        pytest.skip("no MIMIC-IV demo tables in ../shared/data")
    out = tmp_path_factory.mktemp("mimic") / "site"
    program = Path(sys.executable).with_name("fedehr-client")
    command = [program, "import", "mimic4", REAL, "--out", out, "--json"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    return SiteFolder(out)


@pytest.fixture(scope="module")
def admissions() -> pd.DataFrame:
    (file,) = REAL.rglob("admissions.csv*")
    times = ["admittime", "dischtime", "deathtime"]
    return pd.read_csv(file, parse_dates=times)


def _made(site: SiteFolder, name: str) -> pd.DataFrame:
    return make_labels(site, read_task(task_file(name)), LIMITS).labels.to_pandas()


def test_readmission_is_what_the_admissions_say(site: SiteFolder, admissions: pd.DataFrame) -> None:
    made = _made(site, "readmission_30_days")
    assert len(made) > 80
    for row in made.itertuples():
        own = admissions[admissions["subject_id"] == row.subject_id]
        left = own[own["dischtime"] == row.prediction_time]
        assert len(left) == 1
        assert left["hospital_expire_flag"].item() == 0
        later = own["admittime"] - row.prediction_time
        again = bool(((later > pd.Timedelta(0)) & (later <= 30 * DAY)).any())
        assert again == row.boolean_value
    assert 0 < made["boolean_value"].sum() < len(made)


def test_deaths_and_long_stays_are_what_the_admissions_say(
    site: SiteFolder, admissions: pd.DataFrame
) -> None:
    frame = admissions.assign(prediction_time=admissions["admittime"] + DAY)
    frame["long"] = frame["dischtime"] - frame["admittime"] > 7 * DAY
    frame["died"] = frame["hospital_expire_flag"] == 1
    frame = frame[frame["dischtime"] > frame["prediction_time"]]
    frame = frame[~(frame["deathtime"] <= frame["prediction_time"])]
    first = frame.sort_values("admittime").groupby("subject_id").head(1)
    for name, outcome in (("in_hospital_death", "died"), ("stay_over_7_days", "long")):
        made = _made(site, name)
        both = made.merge(first, on=["subject_id", "prediction_time"])
        assert len(both) == len(made) == len(first)
        assert (both["boolean_value"] == both[outcome]).all()
        assert 0 < both[outcome].sum() < len(both)
