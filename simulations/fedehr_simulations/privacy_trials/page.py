"""The part of a Markdown page that privacy trials write."""

from pathlib import Path

from fedehr_simulations.privacy_trials.record import ArmResult, PrivacyRecord
from fedehr_simulations.privacy_trials.tables import privacy_tables
from fedehr_simulations.report.marked_page import Marks, write_between
from fedehr_simulations.tuning_trials.tables import format_setting, format_settings


def marks_of(name: str, nominal_subjects: int) -> Marks:
    """The lines between which the tables of a call go.

    Args:
        name: the file's of ways, without its ending, and the phases with noise.
        nominal_subjects: of a site, for training.
    """
    return Marks(
        f"<!-- begin: {name} {nominal_subjects} -->", f"<!-- end: {name} {nominal_subjects} -->"
    )


def write_privacy_page(record: PrivacyRecord, path: Path, name: str) -> None:
    """Put the tables between the two marks of a page; a new page holds nothing else.

    Raises:
        DataError: the page has no such marks, or cannot be read or written.
    """
    write_between(path, marks_of(name, record.nominal_subjects), _text(record))


def _text(record: PrivacyRecord) -> str:
    parts = [_about(record), *(table.markdown for table in privacy_tables(record)), _ways(record)]
    if record.failures:
        told = [f"- `{failure.variant}`: {failure.reason}" for failure in record.failures]
        parts += ["\n".join(["Failed:", "", *told])]
    return "\n\n".join(parts) + "\n"


def _about(record: PrivacyRecord) -> str:
    sizes = ", ".join(str(site.num_subjects or "few") for site in record.sites)
    commits = ", ".join(f"`{commit}`" for commit in record.commits)
    return (
        f"Written by `fedehr-sim privacy`. Study `{record.study.name}` (digest "
        f"`{record.study.digest[:16]}`), {len(record.sites)} sites of {sizes} subjects, "
        f"`nominal_subjects = {record.nominal_subjects}`. {record.machine.cpu}, one torch thread a "
        f"run; torch {record.versions['torch']}. Commit {commits}."
    )


def _ways(record: PrivacyRecord) -> str:
    lines = [f"- `{arm.way}`, {_where(arm)}: {_changes(arm)}" for arm in record.arms]
    return "\n".join(["Settings, and the tuning split's mean AUROC of what was tried:", "", *lines])


def _where(arm: ArmResult) -> str:
    if arm.target_epsilon is None:
        return "no noise"
    return f"epsilon {arm.target_epsilon:g}, noise in {arm.scope}"


def _changes(arm: ArmResult) -> str:
    told = [f"`{key} = {format_setting(value)}`" for key, value in arm.changes.items()]
    tried = [
        f"{format_settings(one.settings)}: {_mean(one.tuning_scores)}" for one in arm.candidates
    ]
    return f"{', '.join(told) or 'as the study'}; {'; '.join(tried)}"


def _mean(scores: tuple[float | None, ...]) -> str:
    told = [score for score in scores if score is not None]
    return f"{sum(told) / len(told):.3f}" if told and len(told) == len(scores) else "failed"
