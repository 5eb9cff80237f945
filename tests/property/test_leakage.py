"""Nothing that is known after the prediction reaches the model, whatever happens then.

The whole way: records on disk, the site's own token store, its examples, and the batch that the
model is given. Codes with a delay are drawn too: what had happened by the prediction and was not
yet known, as a billing code, is the future as well.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedehr_client.answers.site_data import SiteData
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocation
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import CODES_SCHEMA, DATA_SCHEMA, LABELS_SCHEMA, SPLITS
from fedehr_shared.meds.writer import write_site
from fedehr_shared.tokens.collate import collate
from fedehr_shared.vocabulary.grid import bin_of
from fedehr_shared.vocabulary.vocabulary import Vocabulary

ONE_THREAD = ComputeConfig(device="cpu", num_threads=1)

EPOCH = datetime(2020, 1, 1)
PREDICTION = 6.0
DELAYS = {
    "HR": 0.0, "LAB//a": 0.0, "DX//1": 72.0, "DX//2": 2.0, "NEW//1": 0.0, "MEDS_DEATH": 0.0,
    "ICU_ADMISSION//x": 0.0, "BILL//9": 72.0, "SEX//F": 0.0, "MEDS_BIRTH": 0.0,
}  # fmt: skip
TIMED = tuple(code for code in DELAYS if code != "SEX//F")
VOCABULARY = Vocabulary(
    ("DX", "DX//2", "HR", "LAB//a", "MEDS_DEATH", "BILL//9", "SEX//F"),
    (None, None, tuple(bin_of(np.asarray([60.0, 80.0])).tolist()), (), None, None, None),
)
Row = tuple[int, float | None, str, float | None, int | None]


def _rows(hours: Any) -> Any:
    """Rows of three subjects."""
    return st.lists(
        st.tuples(
            st.integers(1, 3), hours, st.sampled_from(TIMED),
            st.sampled_from([None, 55.0, 65.0, 65.5, 90.0]), st.sampled_from([None, 1, 2, 3]),
        ),
        max_size=16,
    )  # fmt: skip


def _is_known(row: Row) -> bool:
    return row[1] is None or row[1] + DELAYS[row[2]] <= PREDICTION


PAST = _rows(st.integers(-80, 6)).map(lambda rows: [row for row in rows if _is_known(row)])
FUTURE = _rows(st.integers(-60, 40)).map(lambda rows: [row for row in rows if not _is_known(row)])
"""Mostly after the prediction; of delayed codes also before it."""


def _write(folder: Path, rows: list[Row]) -> SiteFolder:
    listed: list[Row] = [(s, None, "SEX//F", None, None) for s in (1, 2, 3)]
    listed += [(s, -300_000.0 - s, "MEDS_BIRTH", None, None) for s in (1, 2)]
    listed += rows
    columns = list(zip(*listed, strict=True))
    events = {
        "subject_id": columns[0],
        "time": [None if h is None else EPOCH + timedelta(hours=h) for h in columns[1]],
        "code": columns[2],
        "numeric_value": columns[3],
        "visit_id": columns[4],
    }
    codes = {
        "code": list(DELAYS),
        "description": [None] * len(DELAYS),
        "parent_codes": [["DX"] if code == "DX//1" else [] for code in DELAYS],
        "delay_hours": list(DELAYS.values()),
    }
    labels = {
        "subject_id": [1, 2, 3],
        "prediction_time": [EPOCH + timedelta(hours=PREDICTION)] * 3,
        "boolean_value": [True, False, True],
    }
    write_site(
        folder,
        events=pa.table(events, schema=DATA_SCHEMA),
        codes=pa.table(codes, schema=CODES_SCHEMA),
        labels={"asked": pa.table(labels, schema=LABELS_SCHEMA)},
        split_key="key",
        dataset={},
    )
    return SiteFolder(folder)


def _inputs(site: SiteFolder, study: Any) -> dict[int, Any]:
    """By subject, what the model is given."""
    location = SiteLocation("site", site, site.path.parent / "work", 2, ONE_THREAD)
    data = SiteData(location, study, VOCABULARY)
    found: dict[int, Any] = {}
    for split in SPLITS:
        examples = data.examples(split)
        for place, subject in enumerate(examples.subject_ids.tolist()):
            batch = collate(data.store, examples.windows[np.asarray([place])])
            found[subject] = [
                getattr(batch, name).tolist()
                for name in ("tokens", "hours", "ages", "visits", "sexes")
            ]
    return found


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    past=PAST, futures=st.lists(FUTURE, min_size=2, max_size=2), skip_repeats=st.booleans(),
    context=st.sampled_from([8, 64]),
)  # fmt: skip
def test_no_future_changes_an_input(
    past: list[Row],
    futures: list[list[Row]],
    skip_repeats: bool,
    context: int,
    *,
    make_study: Any,
    tmp_path_factory: Any,
) -> None:
    study = make_study(
        sequence={"context": context, "skip_repeats": skip_repeats},
        finetuning={"tasks": ["asked"]},
    )
    inputs = [
        _inputs(_write(tmp_path_factory.mktemp("records") / "site", [*past, *future]), study)
        for future in futures
    ]
    assert set(inputs[0]) == {1, 2, 3}
    assert inputs[0] == inputs[1]


def test_what_is_known_at_the_prediction_does_enter(make_study: Any, tmp_path: Path) -> None:
    """The property above would hold for an input that is always empty."""
    study = make_study(finetuning={"tasks": ["asked"]})
    moved = []
    for hour in (PREDICTION, PREDICTION + 1e-9 * 3_600):
        rows: list[Row] = [(1, hour, "HR", 90.0, 1), (1, 0.0, "LAB//a", 1.0, 1)]
        # Delayed by two hours: known at the prediction, to the microsecond.
        rows.append((2, hour - DELAYS["DX//2"], "DX//2", None, 1))
        moved.append(_inputs(_write(tmp_path / str(hour) / "site", rows), study))
    tokens = [{s: len(given[0]) for s, given in inputs.items()} for inputs in moved]
    assert tokens[0][1] == tokens[1][1] + 1
    assert tokens[0][2] > tokens[1][2]
    assert tokens[0][3] == tokens[1][3]
    assert pq.read_table(tmp_path / str(PREDICTION) / "site" / "labels" / "asked.parquet").num_rows
