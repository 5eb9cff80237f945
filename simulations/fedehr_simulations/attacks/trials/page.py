"""The part of a Markdown page that attack trials write."""

from pathlib import Path

from fedehr_simulations.attacks.trials.record import AttackRecord
from fedehr_simulations.attacks.trials.tables import attack_tables
from fedehr_simulations.report.marked_page import Marks, write_between

MARKS = Marks("<!-- begin: attacks -->", "<!-- end: attacks -->")


def write_attack_page(record: AttackRecord, path: Path) -> None:
    """Put the tables between the two marks of a page; a new page holds nothing else.

    Raises:
        DataError: the page has no such marks, or cannot be read or written.
    """
    about = (
        f"Written by `fedehr-sim attacks`: {record.num_subjects:,} synthetic subjects at two "
        f"hospitals, delta {record.delta:g}; {record.seconds / 60:.0f} minutes on "
        f"{record.machine.cpu}; torch {record.versions['torch']}. Commit `{record.commit}`."
    )
    tables = (table.markdown for table in attack_tables(record))
    write_between(path, MARKS, "\n\n".join([about, *tables]) + "\n")
