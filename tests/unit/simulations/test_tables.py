"""`results.csv`: the verdict, row by row, as pandas reads it back."""

from pathlib import Path

import pandas as pd

from fedehr_simulations.outcome.tables import ALL_SITES, write_table
from fedehr_simulations.verdict.machine import describe_machine, describe_versions
from fedehr_simulations.verdict.result import ArmResult, Interval, Scores, TaskResult
from fedehr_simulations.verdict.verdict import StudyName, Verdict

HIDDEN = Interval.withheld("fewer than 11 positives")
SCORE = Interval(value=0.8, low=0.7, high=0.9)


def test_every_number_has_its_row_and_every_gap_its_reason(tmp_path: Path) -> None:
    small = Scores(
        num=None, num_positive=None, reason="few", auroc=HIDDEN, auprc=HIDDEN, brier=HIDDEN
    )
    task = TaskResult(
        num=100, num_positive=20, auroc=SCORE, auprc=SCORE, brier=HIDDEN, per_site={"north": small}
    )
    verdict = Verdict(
        study=StudyName(name="demo", digest="ab" * 32),
        machine=describe_machine(),
        versions=describe_versions(),
        seconds=1.0,
        sites=(),
        arms={arm: ArmResult(tasks={"death": task}) for arm in ("federated", "logistic")},
        subject_epsilon={},
    )
    write_table(verdict, tmp_path / "results.csv")
    table = pd.read_csv(tmp_path / "results.csv")
    assert len(table) == 2 * 2 * 3
    assert not table.duplicated(["arm", "task", "site", "metric"]).any()
    pooled = table[(table.site == ALL_SITES) & (table.metric == "auroc")]
    assert pooled[["value", "low", "high", "num"]].drop_duplicates().values.tolist() == [
        [0.8, 0.7, 0.9, 100]
    ]
    assert (table.value.isna() == table.reason.notna()).all()
    assert table[table.site == "north"].num_positive.isna().all()
