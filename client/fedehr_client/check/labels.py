"""Which outcomes the site has, how frequent they are, and whether one shows in its input."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedehr_client.check.cell_rule import CellRule
from fedehr_client.check.report import Finding, Section, Verdict
from fedehr_client.tasks.cohort import read_cohort_labels
from fedehr_client.tasks.label_folder import BINARY, kind_of_labels
from fedehr_shared.config.cohort import EVERYONE
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError
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
            if study is None and (kind := kind_of_labels(site, task)) != BINARY:
                findings.append(_not_trained_on(task, kind))
                continue
            labels = read_cohort_labels(site, [task], cohort)[task]
        except DataError as error:
            findings.append(Finding(f"labels.{task}", Verdict.FAILED, str(error)))
            continue
        findings.append(_finding(task, labels, splits, rule))
        rows += [_row(task, split, labels, splits, rule) for split in SPLITS]
    if not findings:
        text = "the site has no labels. Make some with `fedehr-client label make`."
        findings.append(Finding("labels", Verdict.WARNING, text))
    return Section("Labels", tuple(findings), {"Labels by split": _table(rows)} if rows else {})


def _not_trained_on(task: str, kind: str) -> Finding:
    text = f"task '{task}' is {kind}: studies train on binary labels so far."
    return Finding(f"labels.{task}", Verdict.WARNING, text)


def _finding(task: str, labels: Labels, splits: Split, rule: CellRule) -> Finding:
    known = [subject in splits for subject in labels.subject_ids.tolist()]
    values = _values_of(TRAIN, labels, splits)
    positive = int(values.sum())
    name, least = f"labels.{task}", min(positive, int(values.size) - positive)
    figures: dict[str, float | int | str | None] = {
        "num_training": rule.subjects(int(values.size)),
        "num_training_positive": rule.subjects(positive),
    }
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
            f"task '{task}' has fewer than {rule.min_cell} positive or negative training subjects: "
            "its counts stay at the site."
        )
        return Finding(name, Verdict.WARNING, text, figures)
    text = f"task '{task}': {rule.words(int(values.size))} labelled training subjects."
    return Finding(name, Verdict.OK, text, figures)


def _values_of(split: str, labels: Labels, splits: Split) -> NDArray[np.int8]:
    inside = [splits.get(subject) == split for subject in labels.subject_ids.tolist()]
    values: NDArray[np.int8] = labels.values[np.asarray(inside, dtype=bool)]
    return values


def _row(task: str, split: str, labels: Labels, splits: Split, rule: CellRule) -> dict[str, object]:
    values = _values_of(split, labels, splits)
    num, positive = int(values.size), int(values.sum())
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
