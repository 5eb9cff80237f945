"""Labels are not made of records that an erasure is changing."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fedehr_client.erasure.place import find_places
from fedehr_client.erasure.site import SiteErasure
from fedehr_client.tasks.label_file import FileReading
from fedehr_client.tasks.making import MakingRules, import_labels, make_all, read_tasks
from fedehr_client.tasks.site_query import QueryLimits
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder

RULES = MakingRules(QueryLimits(200 * 10**6))
TASK = "in_hospital_death"


@pytest.fixture
def site(make_site: Any) -> SiteFolder:
    rows = [(s, 0.0, "HOSPITAL_ADMISSION//x", s) for s in range(1, 30)]
    rows += [(s, 30.0 + s, "HOSPITAL_DISCHARGE//home", s) for s in range(1, 30)]
    made: SiteFolder = make_site(rows)
    return made


def _erase(site: SiteFolder, subject: int) -> None:
    (place,) = find_places(site.path, None)
    SiteErasure(place, lambda _: None).erase(frozenset({subject}))


def test_an_erasure_does_not_end_while_labels_are_made(site: SiteFolder) -> None:
    """It would not find the label of its subject, which is written after it."""
    refused = []

    def erase(step: str) -> None:
        with pytest.raises(DataError, match="another process"):
            _erase(site, 7)
        refused.append(step)

    make_all([site], read_tasks([TASK]), RULES, erase)
    assert refused
    _erase(site, 7)
    labelled = pq.read_table(site.labels_file(TASK)).column("subject_id").to_pylist()
    assert 7 not in labelled
    assert 8 in labelled


def test_labels_wait_for_an_erasure(site: SiteFolder, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("subject_id,prediction_time,value\n8,2020-01-02,1\n")
    (place,) = find_places(site.path, None)
    with place.locked():
        with pytest.raises(DataError, match="another process"):
            make_all([site], read_tasks([TASK]), RULES, lambda _: None)
        with pytest.raises(DataError, match="another process"):
            import_labels(
                site, file, "own", "binary", RULES, reading=FileReading(max_bad_share=0.0)
            )
    assert site.tasks == []
