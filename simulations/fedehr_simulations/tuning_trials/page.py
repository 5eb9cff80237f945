"""The part of a Markdown page that trials write."""

from pathlib import Path

from fedehr_simulations.report.marked_page import Marks, write_between
from fedehr_simulations.tuning_trials.record import TuningRecord, VariantResult
from fedehr_simulations.tuning_trials.tables import format_setting, format_settings, tuning_tables

NOISE_NOTE = (
    "Noise: every site's update is cut to the norm given and gets Gaussian noise of the deviation "
    "given, in multiples of that norm, before it is sent. This stands in for local DP-SGD, to see "
    "which variants bear noise. It is no guarantee of privacy: no epsilon is accounted."
)


def marks_of(name: str) -> Marks:
    """The lines between which the tables of a file of variants go.

    Args:
        name: the file's, without its ending.
    """
    return Marks(f"<!-- begin: {name} -->", f"<!-- end: {name} -->")


def write_page(record: TuningRecord, path: Path, name: str) -> None:
    """Put the tables between the two marks of a page; a new page holds nothing else.

    Raises:
        DataError: the page has no such marks, or cannot be read or written.
    """
    write_between(path, marks_of(name), _text(record))


def _text(record: TuningRecord) -> str:
    parts = [_about(record), _variants(record)]
    parts += [NOISE_NOTE] if any(variant.noise for variant in record.variants) else []
    parts += [table.markdown for table in tuning_tables(record)]
    parts += [_failures(record)] if record.failures else []
    return "\n\n".join(parts) + "\n"


def _about(record: TuningRecord) -> str:
    sizes = ", ".join(str(site.num_subjects or "few") for site in record.sites)
    commits = ", ".join(f"`{commit}`" for commit in record.commits)
    return (
        f"Written by `fedehr-sim tune`. Study `{record.study.name}` (digest "
        f"`{record.study.digest[:16]}`), {len(record.sites)} sites of {sizes} subjects. "
        f"{record.machine.cpu}, one torch thread a run; torch {record.versions['torch']}. Commit "
        f"{commits}."
    )


def _variants(record: TuningRecord) -> str:
    lines = [f"- `{variant.name}`: {_changes(variant)}" for variant in record.variants]
    intro = "Variants, by what they change in the study, and the mean AUROC of the tuning split:"
    return "\n".join([intro, "", *lines])


def _changes(variant: VariantResult) -> str:
    told = [f"`{key} = {format_setting(value)}`" for key, value in variant.changes.items()]
    if variant.noise is not None:
        told += [f"noise {variant.noise.multiplier:g} x norm {variant.noise.clip_norm:g}"]
    text = ", ".join(told) or "nothing"
    # Of the seeds that tried every candidate: others tried the chosen one alone.
    num = min(len(candidate.tuning_scores) for candidate in variant.candidates)
    tried = [
        f"{format_settings(candidate.settings)}: {_mean(candidate.tuning_scores[:num])}"
        for candidate in variant.candidates
    ]
    return f"{text}; tried {'; '.join(tried)}" if len(tried) > 1 else text


def _mean(scores: tuple[float | None, ...]) -> str:
    told = [score for score in scores if score is not None]
    return f"{sum(told) / len(told):.3f}" if told and len(told) == len(scores) else "failed"


def _failures(record: TuningRecord) -> str:
    told = [f"- `{failure.variant}`: {failure.reason}" for failure in record.failures]
    return "\n".join(["Failed:", "", *told])
