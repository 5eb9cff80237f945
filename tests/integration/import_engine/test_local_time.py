"""Local time to UTC, against the standard library's own rule."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.importers.engine.load import open_table
from fedehr_client.importers.engine.local_time import zone_offsets
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.engine.table import Column, SourceTable
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_shared.errors import UsageError

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata",
         "America/Sao_Paulo", "Pacific/Apia", "UTC"]  # fmt: skip
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2299, 12, 31))


def _to_utc(local: datetime, zone: str) -> datetime:
    """The first of two equal clock times; a skipped one moves forward (PEP 495, fold 0)."""
    return local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC).replace(tzinfo=None)


def _near_changes(zone: str) -> list[datetime]:
    boundaries, _ = zone_offsets(zone)
    seconds = [int(b) // 10**6 + around for b in boundaries for around in (-5400, -1, 0, 1, 1800)]
    moments = [datetime.fromtimestamp(s, UTC).replace(tzinfo=None) for s in seconds]
    return [moment for moment in moments if moment.year >= 1900]


@pytest.mark.parametrize("zone", ZONES)
def test_local_times_become_utc_as_the_standard_library_says(zone: str, tmp_path: Path) -> None:
    with Workspace(
        ImportSettings(memory_limit_bytes=8 * 10**9, timezone=zone), beside=tmp_path
    ) as workspace:

        @settings(deadline=None)
        @given(st.lists(MOMENTS, min_size=1, max_size=50))
        def check(moments: list[datetime]) -> None:
            rows = workspace.connection.execute(
                "SELECT local_to_utc(unnest(?::TIMESTAMP[]))", [moments]
            ).fetchall()
            assert [row[0] for row in rows] == [_to_utc(moment, zone) for moment in moments]

        check()
        near = _near_changes(zone)
        rows = workspace.connection.execute(
            "SELECT local_to_utc(unnest(?::TIMESTAMP[]))", [near]
        ).fetchall()
        assert [row[0] for row in rows] == [_to_utc(moment, zone) for moment in near]
        null = workspace.connection.execute("SELECT local_to_utc(NULL), end_of_day(NULL)")
        assert null.fetchall() == [(None, None)]


def test_the_hour_that_comes_twice_is_the_first_and_the_missing_one_moves_on(
    tmp_path: Path,
) -> None:
    file = tmp_path / "t.csv"
    times = ("2021-10-31 02:30:00", "2021-03-28 02:30:00", "2021-07-01", "2021-07-01T10:00Z",
             "2021-07-01 12:00:00.0000000 +01:00")  # fmt: skip
    file.write_text("\n".join(["at", *times]))
    table = SourceTable("t", (Column("at", "time"),))
    with Workspace(
        ImportSettings(memory_limit_bytes=8 * 10**9, timezone="Europe/Berlin"), beside=tmp_path
    ) as workspace:
        open_table(workspace, table, [file])
        found = {row[0] for row in workspace.connection.execute("SELECT * FROM t").fetchall()}
    assert found == {
        datetime(2021, 10, 31, 0, 30),
        datetime(2021, 3, 28, 1, 30),
        datetime(2021, 7, 1, 21, 59, 59),
        datetime(2021, 7, 1, 10, 0),
        datetime(2021, 7, 1, 11, 0),
    }


def test_an_offset_without_a_zone_is_a_bad_row(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("at\n2021-10-31 02:30:00\n2021-10-31 02:30:00+02:00\n")
    table = SourceTable("t", (Column("at", "time"),))
    with Workspace(
        ImportSettings(memory_limit_bytes=8 * 10**9, max_bad_share=1), beside=tmp_path
    ) as workspace:
        open_table(workspace, table, [file])
        told = workspace.bad_rows.to_dict()["t"]
        rows = workspace.connection.execute("SELECT * FROM t").fetchall()
    assert rows == [(datetime(2021, 10, 31, 2, 30),)]
    (reason,) = told["bad_rows"]
    assert "offset" in reason
    assert told["bad_rows"][reason] == {"num": 1, "rows": [2]}


def test_an_unknown_zone_is_a_usage_error(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="Mars/Olympus"),
        Workspace(
            ImportSettings(memory_limit_bytes=8 * 10**9, timezone="Mars/Olympus"), beside=tmp_path
        ),
    ):
        pass
    assert not list(tmp_path.iterdir())
