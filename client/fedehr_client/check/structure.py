"""Schema, order, one shard a subject: what MEDS asks for and no Parquet reader checks."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fedehr_client.check.cell_rule import CellRule
from fedehr_client.check.layout import Layout
from fedehr_client.check.report import Finding, Section, Verdict
from fedehr_client.check.subject_fault import subject_fault
from fedehr_client.erasure.journal import JOURNAL_FILE
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder


def check_schema(site: SiteFolder) -> list[Finding]:
    """Are the files there, readable, and of MEDS's columns and types?"""
    try:
        files = site.data_files
    except DataError as error:
        return [Finding("schema", Verdict.FAILED, str(error))]
    problems = [problem for file in files if (problem := _data_problem(file))]
    for file, columns in (
        (site.codes_file, ("code",)),
        (site.splits_file, ("subject_id", "split")),
    ):
        problem = _column_problem(file, columns)
        problems += [problem] if problem else []
    if problems:
        text = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" * (len(problems) > 3))
        return [
            Finding(
                "schema",
                Verdict.FAILED,
                f"{text}. Import the folder again with `fedehr-client import meds`.",
                {"num_problems": len(problems)},
            )
        ]
    text = f"{len(files)} shard(s), codes and splits are MEDS 0.4."
    return [Finding("schema", Verdict.OK, text, {"num_shards": len(files)})]


def check_erasure(site: SiteFolder) -> Finding:
    """Did an erasure begin here and not end? Those who withdrew would be trained on."""
    if not (site.path / "metadata" / JOURNAL_FILE).exists():
        return Finding("erasure", Verdict.OK, "no erasure is half done.")
    text = "an erasure did not end. Run `fedehr-client erase` with this folder again."
    return Finding("erasure", Verdict.FAILED, text)


def check_structure(site: SiteFolder, layout: Layout, rule: CellRule) -> Section:
    """Order, contiguity and sharding, from a finished scan."""
    faults = {
        "sorted": (layout.num_unsorted, "have events out of order of time"),
        "contiguous": (layout.num_scattered, "have rows apart from each other in a shard"),
        "one_shard": (layout.num_in_two_shards, "lie in more than one shard"),
    }
    again = "Import the folder again with `fedehr-client import meds`."
    findings = [
        subject_fault(name, num, rule, fine=f"no subjects {what}.", wrong=f"{what}. {again}")
        for name, (num, what) in faults.items()
    ]
    size = Finding(
        "size",
        Verdict.OK if layout.num_subjects >= rule.min_cell else Verdict.FAILED,
        f"{rule.words(layout.num_subjects)} subjects, {layout.num_events:,} events."
        if layout.num_subjects >= rule.min_cell
        else f"the site has fewer than min_cell = {rule.min_cell} subjects and cannot take part.",
        {
            "num_subjects": rule.subjects(layout.num_subjects),
            "num_events": rule.figure(layout.num_events, layout.num_subjects),
        },
    )
    return Section("Files and order", (*check_schema(site), check_erasure(site), size, *findings))


def _data_problem(file: Path) -> str | None:
    problem = _column_problem(file, ("subject_id", "time", "code"))
    if problem:
        return problem
    schema = pq.read_schema(file)
    kinds = {
        "subject_id": pa.types.is_int64(schema.field("subject_id").type),
        "time": pa.types.is_timestamp(schema.field("time").type)
        and schema.field("time").type.tz is None,
        "code": _is_text(schema.field("code").type),
    }
    if "numeric_value" in schema.names:
        kinds["numeric_value"] = pa.types.is_floating(schema.field("numeric_value").type)
    wrong = [name for name, fits in kinds.items() if not fits]
    return f"{file.name} has column(s) of another type: {', '.join(wrong)}" if wrong else None


def _is_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))


def _column_problem(file: Path, columns: tuple[str, ...]) -> str | None:
    try:
        names = pq.read_schema(file).names
    except (OSError, pa.ArrowException):
        return f"{file.name} is missing or damaged"
    missing = [column for column in columns if column not in names]
    return f"{file.name} lacks column(s) {', '.join(missing)}" if missing else None
