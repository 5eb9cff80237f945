"""Labelled examples: one row a subject and prediction time, nothing after it."""

import numpy as np
import pytest

from fedehr_client.training.examples import select_examples
from fedehr_shared.errors import DataError
from fedehr_shared.meds.reader import Labels
from fedehr_shared.tokens.back_off import BackOffShares
from fedehr_shared.tokens.store import TokenStore

STORE = TokenStore(
    tokens=np.arange(10, 16, dtype=np.int32),
    times=np.asarray([0, 5, 9, 1, 2, 3], np.int64),
    hours=np.zeros(6, np.float32),
    visits=np.zeros(6, np.int32),
    offsets=np.asarray([0, 3, 6], np.int64),
    subject_ids=np.asarray([1, 2], np.int64),
    first_ages=np.zeros(2, np.float32),
    sexes=np.zeros(2, np.uint8),
    back_off=BackOffShares(1.0, 0.0, 0.0, 0.0),
)
SPLITS = {1: "train", 2: "train", 3: "train", 4: "held_out"}


def _labels(*rows: tuple[int, int, int]) -> Labels:
    columns = np.asarray(rows, dtype=np.int64).reshape(-1, 3)
    return Labels(columns[:, 0], columns[:, 1], columns[:, 2].astype(np.int8))


def _select(split: str = "train", context: int = 9, **labels: Labels):  # type: ignore[no-untyped-def]
    return select_examples(
        STORE, labels, tasks=list(labels), splits=SPLITS, split=split, context=context
    )


def test_tasks_join_where_subject_and_time_agree() -> None:
    examples = _select(death=_labels((2, 2, 1), (1, 5, 0)), stay=_labels((2, 2, 0), (1, 9, 1)))
    assert examples.subject_ids.tolist() == [1, 1, 2]
    np.testing.assert_array_equal(examples.labels, [[0, np.nan], [np.nan, 1], [1, 0]])
    spans = [(w.begin, w.end) for w in examples.windows]
    assert spans == [(0, 2), (0, 3), (3, 5)]


def test_the_context_keeps_the_latest_tokens() -> None:
    (window,) = _select(context=3, death=_labels((1, 9, 1))).windows
    assert (window.begin, window.end) == (1, 3)


def test_splits_do_not_mix_and_a_subject_without_events_has_an_empty_window() -> None:
    labels = _labels((1, 9, 1), (3, 9, 0), (4, 9, 1))
    train, held_out = _select(death=labels), _select("held_out", death=labels)
    assert train.subject_ids.tolist() == [1, 3]
    assert held_out.subject_ids.tolist() == [4]
    assert train.windows[1].begin == train.windows[1].end
    assert len(_select("tuning", death=labels)) == 0
    assert _select("tuning", death=labels).labels.shape == (0, 1)


def test_a_label_of_a_subject_without_a_split_is_refused() -> None:
    with pytest.raises(DataError, match="split") as refused:
        _select(death=_labels((77_777, 9, 1)))
    assert "77777" not in str(refused.value)
