"""Are all codes described, which are frequent, how many carry numbers, how many does the
study's vocabulary know?"""

import duckdb
import pandas as pd

from fedehr_client.check.cell_rule import CellRule
from fedehr_client.check.report import Finding, Section, Verdict
from fedehr_shared.meds.code_table import CodeTable
from fedehr_shared.vocabulary.resolution import ANCESTOR, BUCKET, EXACT, UNKNOWN_STEP
from fedehr_shared.vocabulary.vocabulary import Vocabulary

NUM_TOP_CODES = 20
MOST_UNKNOWN_SHARE = 0.5
"""Where half of a site's events mean nothing to the study, it learns and adds next to nothing."""
NOTABLE_UNKNOWN_SHARE = 0.1
_STEPS = {EXACT: "exact", ANCESTOR: "ancestor", BUCKET: "bucket", UNKNOWN_STEP: "unknown"}


def check_codes(
    connection: duckdb.DuckDBPyConnection,
    codes: CodeTable,
    vocabulary: Vocabulary | None,
    rule: CellRule,
) -> Section:
    """Coverage by `codes.parquet`, the most frequent codes, values, and the vocabulary's share.

    Args:
        connection: with the view `events`.
        codes: the site's code table.
        vocabulary: the study's, or None where there is none yet.
        rule: what may be shown.
    """
    counts: pd.DataFrame = connection.execute(
        """SELECT code, count(*) AS events, count(DISTINCT subject_id) AS subjects,
            count(numeric_value) FILTER (WHERE isfinite(numeric_value)) AS valued,
            count(DISTINCT subject_id) FILTER (WHERE isfinite(numeric_value)) AS valued_subjects
        FROM events GROUP BY code ORDER BY subjects DESC, code"""
    ).df()
    findings = [_coverage(counts, codes), _values(counts), _parents(counts, codes)]
    tables = {"Most frequent codes": _top_codes(counts, codes, rule)}
    if vocabulary is not None:
        subjects = _subjects_by_step(connection, counts, codes, vocabulary)
        findings.append(_unknown_share(subjects, rule))
        tables["Known to the vocabulary"] = _step_table(subjects, rule)
    return Section("Codes", tuple(findings), tables)


def _coverage(counts: pd.DataFrame, codes: CodeTable) -> Finding:
    missing = int((~counts["code"].isin(codes.codes)).sum())
    if missing == 0:
        text = f"all {len(counts):,} codes of the events are in codes.parquet."
        return Finding("code_coverage", Verdict.OK, text, {"num_codes": len(counts)})
    return Finding(
        "code_coverage",
        Verdict.FAILED,
        f"{missing:,} code(s) of the events are not in codes.parquet. Import the folder again "
        "with `fedehr-client import meds`.",
        {"num_codes": len(counts), "num_missing": missing},
    )


def _values(counts: pd.DataFrame) -> Finding:
    share = float(counts["valued"].sum() / max(1, counts["events"].sum()))
    text = f"{share:.0%} of events carry a number."
    if share > 0:
        return Finding("numeric_values", Verdict.OK, text, {"share_of_events": share})
    return Finding(
        "numeric_values",
        Verdict.WARNING,
        f"{text} Check that the import maps the value columns of measurements.",
        {"share_of_events": share},
    )


def _parents(counts: pd.DataFrame, codes: CodeTable) -> Finding:
    share = float(counts["code"].isin(list(codes.parents)).mean()) if len(counts) else 0.0
    return Finding(
        "parent_codes",
        Verdict.OK,
        f"{share:.0%} of codes have a parent to fall back on where they are rare.",
        {"share_of_codes": share},
    )


def _top_codes(counts: pd.DataFrame, codes: CodeTable, rule: CellRule) -> pd.DataFrame:
    """Codes that too few subjects have are not named."""
    top = counts[counts["subjects"] >= rule.min_cell].head(NUM_TOP_CODES)
    descriptions = dict(zip(codes.codes, codes.descriptions, strict=True))
    return pd.DataFrame(
        {
            "code": top["code"].tolist(),
            "description": [descriptions.get(code) or "" for code in top["code"]],
            "subjects": pd.array([rule.subjects(int(n)) for n in top["subjects"]], "Int64"),
            "events": top["events"].tolist(),
            "with a number": [
                rule.figure(round(valued / events, 3), subjects)
                for valued, events, subjects in zip(
                    top["valued"], top["events"], top["valued_subjects"], strict=True
                )
            ],
        }
    )


def _subjects_by_step(
    connection: duckdb.DuckDBPyConnection,
    counts: pd.DataFrame,
    codes: CodeTable,
    vocabulary: Vocabulary,
) -> dict[str, tuple[float, int]]:
    """By step of the back-off, its share of the events and how many subjects have such events."""
    descriptions = dict(zip(codes.codes, codes.descriptions, strict=True))
    steps = pd.DataFrame(
        {
            "code": counts["code"],
            "step": [
                vocabulary.resolve(code, codes.parents, descriptions.get(code)).step
                for code in counts["code"]
            ],
        }
    )
    connection.register("code_steps", steps)
    rows = connection.execute(
        """SELECT step, count(*), count(DISTINCT subject_id)
        FROM events JOIN code_steps USING (code) GROUP BY step"""
    ).fetchall()
    connection.unregister("code_steps")
    found = {step: (num, subjects) for step, num, subjects in rows}
    total = sum(num for num, _ in found.values())
    return {
        name: (found.get(step, (0, 0))[0] / max(1, total), found.get(step, (0, 0))[1])
        for step, name in _STEPS.items()
    }


def _told_shares(
    subjects_by_step: dict[str, tuple[float, int]], rule: CellRule
) -> dict[str, float | None]:
    """By step, its share, or None for what rests on too few subjects.

    As all shares make one, the smallest of the others is withheld with a single one.
    """
    told = {step: rule.figure(share, num) for step, (share, num) in subjects_by_step.items()}
    if None in told.values():
        others = [step for step, share in told.items() if share]
        told |= dict.fromkeys(sorted(others, key=lambda s: subjects_by_step[s])[:1])
    return told


def _unknown_share(subjects_by_step: dict[str, tuple[float, int]], rule: CellRule) -> Finding:
    share, num_subjects = subjects_by_step["unknown"]
    told = _told_shares(subjects_by_step, rule)["unknown"]
    figures: dict[str, float | int | str | None] = {"share_of_events": told}
    if 0 < num_subjects < rule.min_cell:
        text = "few events have codes that the vocabulary cannot place."
        return Finding("unknown_codes", Verdict.OK, text, figures)
    if told is None and share <= NOTABLE_UNKNOWN_SHARE:
        text = f"at most {NOTABLE_UNKNOWN_SHARE:.0%} of events have codes that it cannot place."
        return Finding("unknown_codes", Verdict.OK, text, figures)
    text = f"{share:.1%} of events have codes that the vocabulary cannot place."
    if share > MOST_UNKNOWN_SHARE:
        text += " Map the site's codes to the study's terminology, or give them parents."
        return Finding("unknown_codes", Verdict.FAILED, text, figures)
    if share > NOTABLE_UNKNOWN_SHARE:
        text += " Parents or descriptions of the site's own codes would help."
        return Finding("unknown_codes", Verdict.WARNING, text, figures)
    return Finding("unknown_codes", Verdict.OK, text, figures)


def _step_table(subjects_by_step: dict[str, tuple[float, int]], rule: CellRule) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "step": list(subjects_by_step),
            "share of events": [
                None if share is None else round(share, 4)
                for share in _told_shares(subjects_by_step, rule).values()
            ],
        }
    )
