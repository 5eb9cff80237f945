"""Two sites whose outcomes are opposite functions of the same codes, and studies of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

NUM_SUBJECTS = 300
_DAY = 86_400_000_000
_BEGIN = 1_600_000_000_000_000


def _write(folder: Path, *, first_subject: int, sick_dies: bool) -> Any:
    """Every subject has `SIGN//SICK` or `SIGN//WELL`, which alone decides on the outcome."""
    from fedehr_shared.meds.folder import SiteFolder
    from fedehr_shared.meds.schema import CODES_SCHEMA, LABELS_SCHEMA
    from fedehr_shared.meds.splits import DEFAULT_SPLIT_KEY
    from fedehr_shared.meds.writer import write_site

    subjects = np.arange(first_subject, first_subject + NUM_SUBJECTS)
    is_sick = np.random.default_rng(first_subject).random(NUM_SUBJECTS) < 0.5
    rows = []
    for subject, sick in zip(subjects.tolist(), is_sick.tolist(), strict=True):
        for day, code in enumerate(("VISIT", "SIGN//SICK" if sick else "SIGN//WELL", "VISIT")):
            rows.append((subject, _BEGIN + day * _DAY, code))
    codes = ["VISIT", "SIGN//SICK", "SIGN//WELL"]
    events = pa.table(
        {
            "subject_id": pa.array([row[0] for row in rows], pa.int64()),
            "time": pa.array([row[1] for row in rows], pa.timestamp("us")),
            "code": [row[2] for row in rows],
            "numeric_value": pa.nulls(len(rows), pa.float32()),
            "visit_id": pa.nulls(len(rows), pa.int64()),
        }
    )
    about_codes = {
        "code": codes, "description": codes, "parent_codes": [[]] * 3, "delay_hours": [None] * 3,
    }  # fmt: skip
    labels = {
        "subject_id": subjects,
        "prediction_time": pa.array([_BEGIN + 5 * _DAY] * NUM_SUBJECTS, pa.timestamp("us")),
        "boolean_value": is_sick == sick_dies,
    }
    write_site(
        folder,
        events=events,
        codes=pa.table(about_codes, schema=CODES_SCHEMA),
        labels={"death": pa.table(labels, schema=LABELS_SCHEMA)},
        split_key=DEFAULT_SPLIT_KEY,
        dataset={"dataset_name": "opposite", "etl_name": "test"},
    )
    return SiteFolder(folder)


@pytest.fixture(scope="session")
def opposite_sites(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """`north`, where the sick die, and `south`, where the well do. Read only."""
    folder = tmp_path_factory.mktemp("opposite")
    return [
        _write(folder / "north", first_subject=1, sick_dies=True),
        _write(folder / "south", first_subject=10_001, sick_dies=False),
    ]


@pytest.fixture(scope="session")
def make_opposite_study(make_study: Callable[..., Any]) -> Callable[..., Any]:
    """`make_opposite_study(local_parts=["heads"])`: fine-tuning alone."""

    def make(rounds: int = 6, **finetuning: Any) -> Any:
        sections: dict[str, Any] = {
            "pretraining": {"rounds": 0},
            "finetuning": {
                "tasks": ["death"], "rounds": rounds, "steps_per_round": 10, "wide": False,
                "learning_rate": 0.05, **finetuning,
            },
        }  # fmt: skip
        if finetuning.get("tuning") == "lora":
            sections["lora"] = {"rank": 2}
        return make_study(**sections)

    return make
