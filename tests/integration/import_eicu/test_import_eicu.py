"""eICU tables to a federation folder: valid MEDS, repeatable, and no outcome in an input."""

import csv
import gzip
import hashlib
import json
import random
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import meds
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from fedehr_client.importers.eicu.importer import EicuImporter
from fedehr_client.importers.eicu.site_by import SiteBy
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.importer import run_import
from fedehr_client.importers.summary import ImportSummary
from fedehr_shared.meds.folder import FederationFolder, SiteFolder
from fedehr_shared.meds.schema import SPLITS
from fedehr_shared.meds.splits import DEFAULT_SPLIT_KEY, split_of

TASKS = ["in_hospital_death", "long_stay"]
OUTCOMES = {
    "hospitaldischargestatus",
    "hospitaldischargeoffset",
    "hospitaldischargelocation",
    "hospitaldischargetime24",
    "unitdischargeoffset",
    "unitdischargelocation",
    "unitdischargestatus",
    "unitdischargetime24",
    "dischargeweight",
    "activeupondischarge",
    "drugstopoffset",
}
ENDS = r"(ICU_DISCHARGE|HOSPITAL_DISCHARGE|MEDS_DEATH)(//.*)?"
Imported = tuple[FederationFolder, ImportSummary]


def _run(importer: EicuImporter, out: Path) -> ImportSummary:
    return run_import(importer, out, ImportSettings(memory_limit_bytes=8 * 10**9), lambda _: None)


@pytest.fixture(scope="session")
def imported(source: EicuImporter, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    out = tmp_path_factory.mktemp("imported") / "out"
    summary = _run(source, out)
    return FederationFolder(out), summary


def _events(site: SiteFolder) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(file) for file in site.data_files])


def _all_events(folder: FederationFolder) -> pd.DataFrame:
    return pd.concat([_events(site).assign(site=site.name) for site in folder.sites])


def _labels(folder: FederationFolder, task: str) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(site.labels_file(task)) for site in folder.sites])


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_sites_are_meds(imported: Imported) -> None:
    for site in imported[0].sites:
        shards = [pq.read_table(file) for file in site.data_files]
        seen: set[int] = set()
        for shard in shards:
            meds.DataSchema.validate(shard)
            subjects = shard.column("subject_id").to_pylist()
            assert not seen & set(subjects)
            seen |= set(subjects)
            frame = shard.to_pandas()
            assert frame.equals(frame.sort_values(["subject_id", "time"], na_position="first",
                                                  kind="stable"))  # fmt: skip
        codes = pq.read_table(site.codes_file)
        meds.CodeMetadataSchema.validate(codes)
        known = set(codes.column("code").to_pylist())
        assert set(_events(site)["code"]) <= known
        parents = codes.column("parent_codes").to_pylist()
        assert {parent for row in parents for parent in row} <= known
        splits = pq.read_table(site.splits_file)
        meds.SubjectSplitSchema.validate(splits)
        assert set(splits.column("subject_id").to_pylist()) == seen
        assert set(splits.column("split").to_pylist()) <= set(SPLITS)
        meds.DatasetMetadataSchema.validate(json.loads(site.dataset_file.read_text()))
        for task in TASKS:
            labels = pq.read_table(site.labels_file(task))
            meds.LabelSchema.validate(labels)
            assert set(labels.column("subject_id").to_pylist()) <= seen


def test_a_second_import_is_the_same_to_the_byte(
    source: EicuImporter, imported: Imported, tmp_path: Path
) -> None:
    before = _digests(source.source)
    _run(source, tmp_path / "again")
    assert _digests(tmp_path / "again") == _digests(imported[0].path)
    assert _digests(source.source) == before


def test_nobody_has_two_splits_or_two_labels_of_a_task(imported: Imported) -> None:
    folder, summary = imported
    frames = [pd.read_parquet(site.splits_file) for site in folder.sites]
    splits = pd.concat(frames)
    assert splits["subject_id"].duplicated().any()  # someone was at two sites
    assert (splits.groupby("subject_id")["split"].nunique() == 1).all()
    assert splits["subject_id"].nunique() == summary.num_subjects
    first = splits.iloc[0]
    assert split_of(int(first["subject_id"]), DEFAULT_SPLIT_KEY) == first["split"]
    for task in TASKS:
        assert not _labels(folder, task)["subject_id"].duplicated().any()


def test_exclusions_account_for_every_stay(imported: Imported) -> None:
    folder, _ = imported
    for task, told in folder.describe()["tasks"].items():
        labels = _labels(folder, task)
        assert told["num_stays"] == told["num"] + sum(told["exclusions"].values())
        assert told["num"] == len(labels)
        assert told["num_positive"] == labels["boolean_value"].sum() > 0


def test_hospital_stays_lie_400_days_apart(imported: Imported) -> None:
    events = _all_events(imported[0]).dropna(subset=["visit_id"])
    spans = events.groupby(["subject_id", "visit_id"])["time"].agg(["min", "max"])
    spans = spans.sort_values(["subject_id", "min"]).reset_index()
    same = spans["subject_id"].eq(spans["subject_id"].shift())
    gaps = (spans["min"] - spans["max"].shift())[same]
    assert len(gaps) > 0
    assert gaps.min() >= timedelta(days=400)


def _with_other_outcomes(source: EicuImporter, folder: Path) -> EicuImporter:
    """A copy in which every outcome differs, and who was in the unit at 24 h does not."""
    draw = random.Random(1)
    folder.mkdir()
    for file in source.source.glob("*.csv.gz"):
        with gzip.open(file, "rt", newline="") as stream:
            reader = csv.DictReader(stream)
            if not OUTCOMES & set(reader.fieldnames or ()):
                shutil.copy(file, folder)
                continue
            rows = list(reader)
        for row in rows:
            for column in OUTCOMES & row.keys():
                row[column] = _other(column, row[column], draw)
        with gzip.open(folder / file.name, "wt", newline="", compresslevel=1) as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return replace(source, source=folder)


def _other(column: str, value: str, draw: random.Random) -> str:
    flipped = {"Alive": "Expired", "Expired": "Alive", "True": "False", "False": "True"}
    if value in flipped:
        return flipped[value]
    if column.endswith("dischargeoffset"):
        return str(draw.randrange(1441, 90000)) if int(value) > 1440 else value
    return str(draw.randrange(9)) if value.lstrip("-").isdigit() else value


def _without_ends(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[~frame["code"].str.fullmatch(ENDS)].reset_index(drop=True)


def test_no_event_but_the_end_of_a_stay_depends_on_an_outcome(
    source: EicuImporter, imported: Imported, tmp_path: Path
) -> None:
    _run(_with_other_outcomes(source, tmp_path / "tables"), tmp_path / "out")
    other = FederationFolder(tmp_path / "out")
    for site in imported[0].sites:
        for kind in ("data/0.parquet", "metadata/codes.parquet"):
            twin = _without_ends(pd.read_parquet(other.path / site.name / kind))
            own = pd.read_parquet(site.path / kind)
            pd.testing.assert_frame_equal(_without_ends(own), twin)
        assert SiteFolder(other.path / site.name).splits_file.read_bytes() == (
            site.splits_file.read_bytes()
        )
    keys = ["subject_id", "prediction_time"]
    for task in TASKS:
        both = _labels(imported[0], task).merge(_labels(other, task), on=keys)
        assert len(both) >= 0.95 * len(_labels(imported[0], task))
        changed = both["boolean_value_x"] != both["boolean_value_y"]
        assert changed.all() if task == "in_hospital_death" else changed.any()


def _auroc(score: pd.Series, outcome: pd.Series) -> float:
    area = roc_auc_score(outcome, score)
    return float(max(area, 1 - area))


@pytest.mark.parametrize("task", TASKS)
def test_no_single_code_gives_the_label_away(task: str, real: EicuImporter, tmp_path: Path) -> None:
    _run(real, tmp_path / "out")
    folder = FederationFolder(tmp_path / "out")
    labels = _labels(folder, task)
    events = _all_events(folder).merge(labels, on="subject_id")
    events = events[events["time"].isna() | (events["time"] <= events["prediction_time"])]
    outcome = labels.set_index("subject_id")["boolean_value"]
    counts = events.groupby(["code", "subject_id"]).size()
    last = events.dropna(subset=["numeric_value"]).groupby(["code", "subject_id"])["numeric_value"]
    tried = 0
    for score in (counts, last.last(), last.mean()):
        for code in score.index.unique("code"):
            values = score.loc[code]
            if len(values) < 20:  # too rare to give anything away
                continue
            assert _auroc(values.reindex(outcome.index, fill_value=0), outcome) <= 0.9, code
            known = outcome.loc[values.index]
            tried += 1
            if min(known.sum(), (~known).sum()) >= 20:
                assert _auroc(values, known) <= 0.9, code
    assert tried > 300
    ends = events[events["code"].str.fullmatch(ENDS)]
    assert not ends["code"].str.startswith("MEDS_DEATH").any()
    # Those of earlier stays: they ended before the index stay began.
    assert (ends["time"] <= ends["prediction_time"] - timedelta(hours=24)).all()
    events = events.drop(ends.index)
    forbidden = ("death", "expired", "discharge", "apache")
    kinds = {code.split("//")[0].lower() for code in events["code"]}
    assert not [kind for kind in kinds if any(word in kind for word in forbidden)]


def test_the_cohort_is_the_one_described(real: EicuImporter, tmp_path: Path) -> None:
    summary = _run(replace(real, site_by=SiteBy.REGION_BED), tmp_path / "out")
    with gzip.open(real.source / "patient.csv.gz", "rt", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if int(row["unitdischargeoffset"]) > 1440]
    told = summary.tasks["in_hospital_death"]["stays_in_unit_at_prediction"]
    died = sum(row["hospitaldischargestatus"] == "Expired" for row in rows)
    assert told == {"num": len(rows), "num_positive": died}
    assert len(summary.sites) > 15
    assert (
        sum(site.tasks["long_stay"].num for site in summary.sites)
        == (summary.tasks["long_stay"]["num"])
    )
