"""What a site tells rests on subjects, however many labels a single one has."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_client.answers.one_example import one_example_each
from fedehr_client.answers.task_numbers import label_numbers
from fedehr_client.label_counts import count_outcomes
from fedehr_client.training.examples import Examples, trainable
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import Labels
from fedehr_shared.tokens.windows import Window, Windows

ROWS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0.0, 1.0, np.nan])), max_size=40)


def _examples(rows: list[tuple[int, float]], num_tasks: int = 1) -> Examples:
    ids = np.asarray([subject for subject, _ in rows], np.int64)
    labels = np.asarray([[label] * num_tasks for _, label in rows], np.float32)
    times = np.arange(len(rows), dtype=np.int64)
    return Examples(
        ids, times, Windows.of([Window(0, 0)] * len(rows)), labels.reshape(len(rows), num_tasks)
    )


@given(ROWS)
def test_every_labelled_subject_stands_once_with_a_label_of_its_own(
    rows: list[tuple[int, float]],
) -> None:
    examples = _examples(rows)
    chosen = one_example_each(examples, "seed")
    labelled = {subject for subject, label in rows if not np.isnan(label)}
    assert sorted(chosen.subject_ids.tolist()) == sorted(labelled)
    for subject, time, label in zip(
        chosen.subject_ids, chosen.prediction_times, chosen.labels[:, 0], strict=True
    ):
        assert (subject, label) == rows[time]
    again = one_example_each(examples, "seed")
    assert again.prediction_times.tolist() == chosen.prediction_times.tolist()


def test_each_of_a_subjects_labels_has_the_same_chance() -> None:
    examples = _examples([(7, 1.0)] * 4)
    draws = [int(one_example_each(examples, k).prediction_times[0]) for k in range(400)]
    assert np.bincount(draws, minlength=4).min() > 60


def test_tasks_draw_their_labels_apart() -> None:
    examples = _examples([(1, 1.0)] * 30, num_tasks=2)
    chosen = one_example_each(examples, "seed")
    assert (~np.isnan(chosen.labels)).sum(axis=0).tolist() == [1, 1]


def test_one_subject_with_many_labels_is_no_cell(make_study: Callable[..., Any]) -> None:
    examples = _examples([(1, 1.0)] * 20 + [(2, 0.0)])
    everyone = np.ones(21, dtype=bool)
    study = make_study(finetuning={"tasks": ["stay"]})
    assert label_numbers(study, examples, everyone, 5) == {}
    assert len(trainable(examples, everyone, 5)) == 0


@pytest.mark.parametrize("num", [1, 2, 50])
def test_one_subject_moves_one_part_of_a_tasks_counts_by_one(
    num: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The noise on label counts is for this much."""

    def counted(subjects: list[int]) -> np.ndarray[Any, Any]:
        ids = np.asarray(subjects, np.int64)
        values = (np.arange(ids.size) % 2).astype(np.float32)
        labels = Labels(ids, np.arange(ids.size, dtype=np.int64), values)
        monkeypatch.setattr(
            "fedehr_client.label_counts.read_cohort_labels", lambda *_: {"stay": labels}
        )
        counts = count_outcomes(
            SiteFolder(tmp_path), {"stay": TaskConfig()}, {1: "train", 2: "train", 3: "tuning"}
        )
        return np.asarray(counts["stay"])

    others = [2, 2, 3]
    assert np.abs(counted([*others, *[1] * num]) - counted(others)).sum() == 1
