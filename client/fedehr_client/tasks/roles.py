"""What a code means to a task: one column of truth values a role, one row a code."""

from collections.abc import Mapping

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedehr_client.tasks.definition import TaskDefinition
from fedehr_client.tasks.site_query import add_table
from fedehr_shared.config.code_pattern import matching
from fedehr_shared.errors import DataError
from fedehr_shared.meds.code_table import CodeTable

DEATH = "MEDS_DEATH(//.*)?"
BIRTH = "MEDS_BIRTH(//.*)?"
BEGINS = {"hospital_stay": "HOSPITAL_ADMISSION(//.*)?", "icu_stay": "ICU_ADMISSION(//.*)?"}
ENDS = {"hospital_stay": "HOSPITAL_DISCHARGE(//.*)?", "icu_stay": "ICU_DISCHARGE(//.*)?"}

Roles = Mapping[str, NDArray[np.bool_]]
"""By role, `[codes]`."""


def find_roles(task: TaskDefinition, codes: CodeTable) -> Roles:
    """The codes of each role.

    Raises:
        DataError: no code of the site is an index event.
    """
    patterns = {
        "is_index": task.index.codes,
        "is_outcome": task.outcome.codes or "",
        "is_competing": task.competing.codes if task.competing else "",
        "is_observed": task.censoring.codes or "",
        "is_death": DEATH,
        "is_birth": BIRTH,
        **{f"{stay}_begins": pattern for stay, pattern in BEGINS.items()},
        **{f"{stay}_ends": pattern for stay, pattern in ENDS.items()},
    }
    roles = {role: matching(codes.codes, pattern) for role, pattern in patterns.items()}
    excluded = [matching(codes.codes, pattern) for pattern in task.exclude.codes]
    roles["is_excluded"] = np.logical_or.reduce([np.zeros(len(codes.codes), bool), *excluded])
    if not roles["is_index"].any():
        raise DataError(
            f"task '{task.name}': no code of the records matches [index] codes = "
            f"{task.index.codes!r}. Mend the pattern, or leave this task out here."
        )
    return roles


def add_marked_events(
    connection: duckdb.DuckDBPyConnection, codes: CodeTable, roles: Roles
) -> None:
    """Make table `marked`: the events of any role, with the roles as columns."""
    some = np.logical_or.reduce(list(roles.values()))
    columns = {"code": pa.array(np.asarray(codes.codes, dtype=object)[some], pa.string())}
    columns |= {role: pa.array(mask[some]) for role, mask in roles.items()}
    add_table(connection, "roles", pa.table(columns))
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE marked AS
        SELECT subject_id, time, visit_id, roles.* EXCLUDE (code)
        FROM events JOIN roles USING (code)"""
    )
