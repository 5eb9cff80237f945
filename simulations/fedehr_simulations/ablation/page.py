"""The part of a Markdown page that an ablation writes; the words around it stay as they are."""

from pathlib import Path

from fedehr_simulations.ablation.record import AblationRecord, VariantChanges
from fedehr_simulations.ablation.tables import (
    FOOTNOTE,
    OTHER_TASK,
    WIDTH_NOTE,
    ablation_tables,
)
from fedehr_simulations.report.marked_page import Marks, write_between

MARKS = Marks(
    "<!-- ablation: written by `fedehr-sim ablate --markdown`, do not edit -->",
    "<!-- ablation: end -->",
)


def write_page(record: AblationRecord, path: Path) -> None:
    """Put the tables between the two marks of a page; a new page holds nothing else.

    Raises:
        DataError: the page has no such marks, or cannot be read or written.
    """
    write_between(path, MARKS, _text(record))


def _text(record: AblationRecord) -> str:
    tables = ablation_tables(record)
    marked = any(OTHER_TASK in cell for table in tables for row in table.rows for cell in row[1:])
    parts = [_about(record), _variants(record), *(table.markdown for table in tables)]
    parts += [WIDTH_NOTE.capitalize()]
    parts += [FOOTNOTE.replace("*", "\\*", 1)] if marked else []
    parts += [_failures(record)] if record.failures else []
    return "\n\n".join(parts) + "\n"


def _about(record: AblationRecord) -> str:
    sizes = ", ".join(str(site.num_subjects or "few") for site in record.sites)
    commits = ", ".join(f"`{commit}`" for commit in sorted({run.commit for run in record.runs}))
    machine = record.machine
    return (
        f"Study `{record.study.name}` (digest `{record.study.digest[:16]}`), "
        f"{len(record.sites)} sites of {sizes} subjects. {machine.cpu}, {machine.num_cores} "
        f"core(s), one torch thread a run; torch {record.versions['torch']}. Commit {commits}. "
        "Figures are means over seeds \u00b1 the standard deviation over seeds."
    )


def _variants(record: AblationRecord) -> str:
    lines = [f"- `{variant.name}`: {_changes(variant)}" for variant in record.variants]
    return "\n".join(["Variants, by what they change in the study:", "", *lines])


def _changes(variant: VariantChanges) -> str:
    told = [f"`{key} = {_value(value)}`" for key, value in variant.changes.items()]
    told += ["all records in one place"] if variant.pooled else []
    return ", ".join(told) or "nothing"


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _failures(record: AblationRecord) -> str:
    told = [f"- `{run.variant}`, seed {run.seed}: {run.reason}" for run in record.failures]
    return "\n".join(["Failed:", "", *told])
