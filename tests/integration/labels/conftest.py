"""Small sites, written as real folders from rows that a person can read."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from fedehr_client.tasks.definition import TaskDefinition
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import CODES_SCHEMA, DATA_SCHEMA
from fedehr_shared.meds.writer import write_site

EPOCH = datetime(2020, 1, 1)
Row = tuple[int, float | None, str, int | None]
"""Subject, hours since 2020, code, visit."""
MakeSite = Callable[..., SiteFolder]


@pytest.fixture(scope="session")
def make_site(tmp_path_factory: pytest.TempPathFactory) -> MakeSite:
    """`make_site(rows, delays={"DX": 72.0}, name="site")`."""

    def make(
        rows: Iterable[Row], delays: Mapping[str, float] | None = None, name: str = "site"
    ) -> SiteFolder:
        folder: Path = tmp_path_factory.mktemp("records") / name
        listed = list(rows)
        events = {
            "subject_id": [subject for subject, _, _, _ in listed],
            "time": [None if h is None else EPOCH + timedelta(hours=h) for _, h, _, _ in listed],
            "code": [code for _, _, code, _ in listed],
            "numeric_value": [None] * len(listed),
            "visit_id": [visit for _, _, _, visit in listed],
        }
        known = sorted(set(events["code"]))  # type: ignore[type-var]
        codes = {
            "code": known,
            "description": [None] * len(known),
            "parent_codes": [[] for _ in known],
            "delay_hours": [(delays or {}).get(str(code)) for code in known],
        }
        write_site(
            folder,
            events=pa.table(events, schema=DATA_SCHEMA),
            codes=pa.table(codes, schema=CODES_SCHEMA),
            labels={},
            split_key="key",
            dataset={},
        )
        return SiteFolder(folder)

    return make


@pytest.fixture(scope="session")
def make_task() -> Callable[..., TaskDefinition]:
    """`make_task(index={...}, outcome={...})`: a task with the rest at its defaults."""

    def make(**sections: object) -> TaskDefinition:
        values = {"name": "asked", "description": "what is asked", **sections}
        return TaskDefinition.model_validate(values)

    return make
