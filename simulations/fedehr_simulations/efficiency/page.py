"""The part of a Markdown page that an efficiency measurement writes."""

from pathlib import Path

from fedehr_simulations.efficiency.record import EfficiencyRecord
from fedehr_simulations.efficiency.tables import efficiency_tables, name_of
from fedehr_simulations.efficiency.words import in_words
from fedehr_simulations.report.marked_page import Marks, write_between

MARKS = Marks(
    "<!-- efficiency: written by `fedehr-sim efficiency --markdown`, do not edit -->",
    "<!-- efficiency: end -->",
)


def write_page(record: EfficiencyRecord, path: Path) -> None:
    """Put tables and words between the two marks of a page; a new page holds nothing else.

    Raises:
        DataError: the page has no such marks, or cannot be read or written.
    """
    words = "\n".join(f"- {line}" for line in in_words(record))
    parts = [_about(record), words, *(table.markdown for table in efficiency_tables(record))]
    write_between(path, MARKS, "\n\n".join(part for part in parts if part) + "\n")


def _about(record: EfficiencyRecord) -> str:
    commits = ", ".join(f"`{commit}`" for commit in sorted({run.commit for run in record.runs}))
    machine, seconds = record.machine, sum(run.cpu_seconds for run in record.runs)
    where = "the sites take turns" if record.labels_at == "all" else f"all at {record.labels_at}"
    labels = "; ".join(
        f"{name_of(one.num_labels)}: {', '.join(map(str, one.per_site.values()))}"
        for one in record.labels
    )
    return (
        f"Study `{record.study.name}` (digest `{record.study.digest[:16]}`), "
        f"{len(record.sites)} sites take part, {len(record.seeds)} seed(s), each with first "
        f"weights and draws of its own. {machine.cpu}, one torch thread a run, {seconds:.0f} s of "
        f"processor time besides pre-training; torch {record.versions['torch']}. Commit "
        f"{commits}. Labels for training by site ({where}): {labels}. Figures are means over "
        "seeds; brackets hold 95 % intervals over seeds and subjects, of differences paired."
    )
