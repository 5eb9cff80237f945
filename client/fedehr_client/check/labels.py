"""Which outcomes the site has, how frequent they are, and whether one shows in its input."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedehr_client.check.cell_rule import CellRule
from fedehr_client.check.report import Finding, Section, Verdict
from fedehr_client.label_counts import parts_of
from fedehr_client.tasks.cohort import read_cohort_labels
from fedehr_client.tasks.label_folder import config_of_labels
from fedehr_shared.config.cohort import EVERYONE
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.errors import DataError, MissingTaskError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import Labels, read_splits
from fedehr_shared.meds.schema import SPLITS, TRAIN

Split = dict[int, str]


def check_labels(site: SiteFolder, study: StudyConfig | None, rule: CellRule) -> Section:
    """Prevalence by task and split, and the study's tasks that are missing.

    Args:
        site: the site.
        study: its tasks, within its cohort; None to look at all that there are.
        rule: what may be shown.
    """
    splits = read_splits(site)
    cohort = study.cohort if study else EVERYONE
    findings: list[Finding] = []
    rows: list[dict[str, object]] = []
    for task in study.finetuning.tasks if study else site.tasks:
        try:
            config = study.task(task) if study else config_of_labels(site, task)
            labels = read_cohort_labels(site, {task: config}, cohort)[task]
        except DataError as error:
            findings.append(_unusable(task, error, site, study))
            continue
        findings.append(_finding(task, config, labels, splits, rule))
        rows += [
            _row(task, config, split, _values_of(split, labels, splits), rule) for split in SPLITS
        ]
    if not findings:
        text = "the site has no labels. Make some with `fedehr-client label make`."
        findings.append(Finding("labels", Verdict.WARNING, text))
    return Section("Labels", tuple(findings), {"Labels by split": _table(rows)} if rows else {})


def _unusable(task: str, error: DataError, site: SiteFolder, study: StudyConfig | None) -> Finding:
    """A site may lack some of the study's tasks, not all."""
    others = set(study.finetuning.tasks).intersection(site.tasks) if study else set()
    if isinstance(error, MissingTaskError) and others:
        text = f"the site has no labels for task '{task}': it takes part with the others alone."
        return Finding(f"labels.{task}", Verdict.WARNING, text)
    return Finding(f"labels.{task}", Verdict.FAILED, str(error))


def _finding(
    task: str, config: TaskConfig, labels: Labels, splits: Split, rule: CellRule
) -> Finding:
    known = [subject in splits for subject in labels.subject_ids.tolist()]
    values = _values_of(TRAIN, labels, splits)
    parts = np.bincount(parts_of(values, config), minlength=config.num_counts)
    name, least = f"labels.{task}", int(parts.min())
    figures: dict[str, float | int | str | None] = {"num_training": rule.subjects(values.size)}
    if config.kind == "binary":
        figures["num_training_positive"] = rule.subjects(int(parts[1]))
    if not all(known):
        num = len(known) - sum(known)
        text = f"task '{task}' labels {rule.words(num)} subjects without a split. Import again."
        return Finding(name, Verdict.FAILED, text, figures)
    if values.size < rule.min_cell:
        text = (
            f"task '{task}' has fewer than {rule.min_cell} labelled training subjects. "
            "The site cannot take part in fine-tuning on it; add labels."
        )
        return Finding(name, Verdict.FAILED, text, figures)
    if least < rule.min_cell:
        text = (
            f"task '{task}' has fewer than {rule.min_cell} training subjects "
            f"{_PARTS[config.kind]}: their number stays at the site."
        )
        return Finding(name, Verdict.WARNING, text, figures)
    text = f"task '{task}': {rule.words(int(values.size))} labelled training subjects."
    return Finding(name, Verdict.OK, text, figures)


_PARTS = {
    "binary": "with the outcome, or without it",
    "multiclass": "of one of its classes",
    "regression": "",
    "time_to_event": "with the event in one of its intervals, or without it",
}


def _values_of(split: str, labels: Labels, splits: Split) -> NDArray[np.float32]:
    inside = [splits.get(subject) == split for subject in labels.subject_ids.tolist()]
    values: NDArray[np.float32] = labels.values[np.asarray(inside, dtype=bool)]
    return values


def _row(
    task: str, config: TaskConfig, split: str, values: NDArray[np.float32], rule: CellRule
) -> dict[str, object]:
    """A line of the table; of tasks without a yes and no, the subjects alone."""
    if config.kind in {"multiclass", "regression"}:
        told: dict[str, object] = {"subjects": rule.subjects(values.size)}
        return {"task": task, "split": split, **told, "positive": None, "prevalence": None}
    num, positive = int(values.size), int((values > 0).sum())
    told_num, told_positive = rule.subjects(num), rule.subjects(positive)
    told_negative = rule.subjects(num - positive)
    # A share beside a count would give the withheld number away.
    withheld = not (told_num and told_positive and told_negative)
    return {
        "task": task,
        "split": split,
        "subjects": told_num,
        "positive": told_positive if told_negative is not None else None,
        "prevalence": None if withheld else round((told_positive or 0) / (told_num or 1), 3),
    }


def _table(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows))
    return table.astype({"subjects": "Int64", "positive": "Int64", "prevalence": "Float64"})
