"""`codes.parquet`: the codes that events use and all their ancestors."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fedehr_client.importers.engine.source import RecordsPlan
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_shared.meds.schema import CODES_SCHEMA


@dataclass(frozen=True)
class CodeRow:
    """What is known of one code."""

    description: str | None = None
    parents: tuple[str, ...] = ()
    delay_hours: float | None = None


def write_codes(
    workspace: Workspace, plan: RecordsPlan, used: Iterable[str], file: Path
) -> dict[str, CodeRow]:
    """Write `file`, by code; returns its rows.

    A code that the plan's table of codes lacks has no description and no parents.
    """
    rows = _with_ancestors(workspace, plan, used)
    codes = sorted(rows)
    columns = {
        "code": codes,
        "description": [rows[code].description for code in codes],
        "parent_codes": [list(rows[code].parents) for code in codes],
        "delay_hours": [_delay(rows[code], code, plan) for code in codes],
    }
    pq.write_table(pa.table(columns, schema=CODES_SCHEMA), file)
    return rows


def _with_ancestors(
    workspace: Workspace, plan: RecordsPlan, used: Iterable[str]
) -> dict[str, CodeRow]:
    rows: dict[str, CodeRow] = {}
    waiting = set(used)
    if plan.codes is not None:
        workspace.connection.execute(
            f"""CREATE TEMP TABLE _plan_codes AS SELECT CAST(code AS VARCHAR) AS code,
                CAST(description AS VARCHAR) AS description,
                CAST(parent_codes AS VARCHAR[]) AS parent_codes,
                CAST(delay_hours AS FLOAT) AS delay_hours FROM ({plan.codes})"""
        )
    while waiting:
        found = _look_up(workspace, waiting) if plan.codes is not None else {}
        rows.update({code: found.get(code, CodeRow()) for code in waiting})
        parents = {parent for row in found.values() for parent in row.parents}
        waiting = parents - rows.keys()
    if plan.codes is not None:
        workspace.connection.execute("DROP TABLE _plan_codes")
    return rows


def _look_up(workspace: Workspace, codes: set[str]) -> dict[str, CodeRow]:
    """Rows of the plan's table; of several a code the first in order of their content."""
    wanted = pa.table({"code": pa.array(sorted(codes), pa.string())})
    workspace.connection.register("_wanted_codes", wanted)
    found = workspace.connection.execute(
        """SELECT code, description, parent_codes, delay_hours FROM _plan_codes
        SEMI JOIN _wanted_codes USING (code) ORDER BY ALL DESC NULLS LAST"""
    ).fetchall()
    workspace.connection.unregister("_wanted_codes")
    return {
        code: CodeRow(description, _parents(code, parents), delay)
        for code, description, parents, delay in found
    }


def _parents(code: str, parents: list[str | None] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(p for p in parents or () if p and p != code))


def _delay(row: CodeRow, code: str, plan: RecordsPlan) -> float | None:
    if row.delay_hours is not None:
        return row.delay_hours
    fitting = [(len(prefix), hours) for prefix, hours in plan.delays if code.startswith(prefix)]
    return max(fitting)[1] if fitting else None
