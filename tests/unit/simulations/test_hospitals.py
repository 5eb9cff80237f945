"""Synthetic hospitals: what is planted must be there, and be all that is there."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from meds import (
    CodeMetadataSchema,
    DataSchema,
    DatasetMetadataSchema,
    LabelSchema,
    SubjectSplitSchema,
)
from sklearn.metrics import roc_auc_score

from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.meds.folder import FederationFolder, SiteFolder
from fedehr_shared.meds.schema import HELD_OUT
from fedehr_simulations.hospitals.folder import TRUTH_FILE, write_hospitals
from fedehr_simulations.hospitals.plan import HospitalsPlan

PLAN = HospitalsPlan(num_subjects=3_000, num_sites=5, seed=0)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> FederationFolder:
    path = tmp_path_factory.mktemp("hospitals") / "federation"
    write_hospitals(path, PLAN)
    return FederationFolder(path)


@pytest.fixture(scope="module")
def events(federation: FederationFolder) -> pd.DataFrame:
    return pd.concat(_read_site(site) for site in federation.sites)


def _read_site(site: SiteFolder) -> pd.DataFrame:
    labels = pd.read_parquet(site.labels_file("death")).set_index("subject_id")
    frame = pd.concat(pd.read_parquet(file) for file in site.data_files)
    prediction = frame["subject_id"].map(labels["prediction_time"])
    return frame.assign(site=site.name, is_later=frame["time"] > prediction)


def _labels(federation: FederationFolder, task: str) -> pd.Series:
    files = [pd.read_parquet(site.labels_file(task)) for site in federation.sites]
    return pd.concat(files).set_index("subject_id")["boolean_value"].astype(bool)


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield str(file.relative_to(path)), file.read_bytes()


def test_same_seed_same_bytes_and_another_seed_other_records(tmp_path: Path) -> None:
    plan = HospitalsPlan(num_subjects=300, num_sites=3, seed=4)
    write_hospitals(tmp_path / "a", plan)
    write_hospitals(tmp_path / "b", plan)
    write_hospitals(tmp_path / "c", HospitalsPlan(num_subjects=300, num_sites=3, seed=5))
    first, second, other = (dict(_files(tmp_path / name)) for name in "abc")
    assert first == second
    data = [name for name in first if "/data/" in name]
    assert len(data) == 3
    assert all(first[name] != other[name] for name in data)


def test_every_table_is_valid_meds(federation: FederationFolder) -> None:
    for site in federation.sites:
        for file in site.data_files:
            DataSchema.validate(pq.read_table(file))
        CodeMetadataSchema.validate(pq.read_table(site.codes_file))
        SubjectSplitSchema.validate(pq.read_table(site.splits_file))
        DatasetMetadataSchema.validate(json.loads(site.dataset_file.read_text()))
        for task in site.tasks:
            LabelSchema.validate(pq.read_table(site.labels_file(task)))


def test_every_parent_is_a_known_code_and_covers_several_conditions(
    federation: FederationFolder,
) -> None:
    codes = pd.read_parquet(federation.sites[0].codes_file)
    parents = {p for row in codes["parent_codes"] for p in row}
    assert parents <= set(codes["code"])
    conditions = federation.describe()["truth"]["conditions"]
    by_parent: dict[str, set[int]] = {}
    for number, condition in enumerate(conditions):
        for code in condition["codes"]:
            by_parent.setdefault(code.rsplit("|", 1)[0], set()).add(number)
    assert min(len(covered) for covered in by_parent.values()) >= 3
    # A chapter must not stand for one outcome: it holds effects of both kinds.
    for covered in by_parent.values():
        effects = [conditions[number]["effects"]["death"] for number in covered]
        assert max(effects) - min(effects) > 0.5


def test_sizes_fall_ten_to_one(federation: FederationFolder) -> None:
    sizes = [pq.read_table(site.splits_file).num_rows for site in federation.sites]
    assert sum(sizes) == PLAN.num_subjects
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] / sizes[-1] == pytest.approx(10, rel=0.05)


def test_coding_habits_differ_between_sites_and_not_within(events: pd.DataFrame) -> None:
    diagnoses = events[events["code"].str.startswith("DX//")]
    first = diagnoses[diagnoses["site"] == "hospital-1"]
    second = diagnoses[diagnoses["site"] == "hospital-2"]
    even = first["subject_id"] % 2 == 0
    within = _distance(first[even]["code"], first[~even]["code"])
    between = _distance(first["code"], second["code"])
    assert between > 0.5
    assert within < between / 2


def _distance(first: pd.Series, second: pd.Series) -> float:
    """Total variation distance between two code distributions."""
    shares = [part.value_counts(normalize=True) for part in (first, second)]
    return float(shares[0].sub(shares[1], fill_value=0.0).abs().sum() / 2)


def test_small_sites_lack_conditions_wholly(
    federation: FederationFolder, events: pd.DataFrame
) -> None:
    conditions = federation.describe()["truth"]["conditions"]
    missing = [c for c in conditions if c["share_by_site"]["hospital-5"] == 0]
    assert len(missing) >= 3
    assert all(c["share_by_site"]["hospital-1"] > 0 for c in conditions)
    seen = set(events.loc[events["site"] == "hospital-5", "code"])
    for condition in conditions:
        is_missing = condition["share_by_site"]["hospital-5"] == 0
        assert seen.isdisjoint(condition["codes"]) == is_missing


def test_prevalence_is_a_fifth(federation: FederationFolder) -> None:
    for task in ("death", "long_stay"):
        assert 0.15 <= _labels(federation, task).mean() <= 0.25


def test_sequences_are_forty_to_sixty_events_long(events: pd.DataFrame) -> None:
    assert 40 <= events.groupby("subject_id").size().median() <= 60


def test_noise_is_about_a_third_of_diagnoses(
    federation: FederationFolder, events: pd.DataFrame
) -> None:
    meaningful = {code for c in federation.describe()["truth"]["conditions"] for code in c["codes"]}
    diagnoses = events.loc[events["code"].str.startswith("DX//"), "code"]
    assert 0.25 <= 1 - diagnoses.isin(meaningful).mean() <= 0.40


def test_oracle_agrees_with_probabilities_and_labels(federation: FederationFolder) -> None:
    truth = pd.read_parquet(federation.path / TRUTH_FILE).set_index("subject_id")
    splits = pd.concat(pd.read_parquet(site.splits_file) for site in federation.sites)
    held_out = splits.loc[splits["split"] == HELD_OUT, "subject_id"]
    for task in ("death", "long_stay"):
        recorded = federation.describe()["truth"]["tasks"][task]
        label, probability = _labels(federation, task), truth[f"probability_{task}"]
        oracle = roc_auc_score(label.loc[truth.index], probability)
        assert recorded["oracle_auroc"] == pytest.approx(oracle, abs=1e-4)
        own = roc_auc_score(label.loc[held_out], probability.loc[held_out])
        assert recorded["oracle_auroc_held_out"] == pytest.approx(own, abs=1e-4)
        assert 0.7 < oracle < 0.95


def test_coin_is_told_by_nothing(federation: FederationFolder, events: pd.DataFrame) -> None:
    coin = _labels(federation, "coin")
    features = pd.DataFrame(
        {
            "all": events.groupby("subject_id").size(),
            "later": events.groupby("subject_id")["is_later"].sum(),
            "values": events.groupby("subject_id")["numeric_value"].mean().fillna(0.0),
        }
    )
    for name in features:
        auroc = roc_auc_score(coin.loc[features.index], features[name])
        assert abs(auroc - 0.5) < 0.04, name  # some four standard errors


def test_what_comes_later_tells_the_outcome_and_what_came_before_does_not_name_it(
    federation: FederationFolder, events: pd.DataFrame
) -> None:
    later, before = events[events["is_later"]], events[~events["is_later"]]
    assert later["subject_id"].nunique() == PLAN.num_subjects
    death = _labels(federation, "death")
    died = later.loc[later["code"] == "MEDS_DEATH", "subject_id"]
    assert set(died) == set(death[death].index)
    assert not before["code"].isin(["MEDS_DEATH", "VISIT//DISCHARGE|DIED"]).any()
    leak = later.groupby("subject_id").size().loc[death.index]
    long_stay = _labels(federation, "long_stay")
    assert roc_auc_score(long_stay.loc[leak.index], leak) > 0.7


def test_a_long_stay_is_one_over_seven_days(
    federation: FederationFolder, events: pd.DataFrame
) -> None:
    visits = events.dropna(subset=["visit_id"]).groupby(["subject_id", "visit_id"])
    spans = visits.agg(start=("time", "min"), end=("time", "max"), later=("is_later", "sum"))
    spans["early"] = visits.size() - spans["later"]
    index = spans[(spans["later"] > 0) & (spans["early"] > 0)].reset_index("visit_id")
    assert len(index) == PLAN.num_subjects
    is_long = (index["end"] - index["start"]) > pd.Timedelta(days=7)
    pd.testing.assert_series_equal(
        is_long.sort_index(), _labels(federation, "long_stay").sort_index(), check_names=False
    )


def test_labs_follow_severity(federation: FederationFolder, events: pd.DataFrame) -> None:
    early = events[~events["is_later"] & events["code"].str.startswith("LAB//")]
    assert early["numeric_value"].notna().all()
    assert np.isfinite(early["numeric_value"]).all()
    # Within a lab, patients who share codes of an affecting condition read differently.
    conditions = federation.describe()["truth"]["conditions"]
    grave = max(conditions, key=lambda c: sum(c["share_by_site"].values()))
    carriers = set(events.loc[events["code"].isin(grave["codes"]), "subject_id"])
    gaps = []
    for _, values in early.groupby("code"):
        has = values["subject_id"].isin(carriers)
        ranks = values["numeric_value"].rank(pct=True)
        gaps.append(abs(ranks[has].mean() - ranks[~has].mean()))
    assert max(gaps) > 0.1


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(DataError, match="exists already"):
        write_hospitals(tmp_path / "kept", HospitalsPlan(num_subjects=300))
    assert list((tmp_path / "kept").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("num_subjects", "num_sites", "seed"), [(3_000, 1, 0), (3_000, 51, 0), (100, 5, 0), (0, 2, 0)]
)
def test_impossible_plans_are_refused(num_subjects: int, num_sites: int, seed: int) -> None:
    with pytest.raises(UsageError):
        HospitalsPlan(num_subjects, num_sites, seed)
