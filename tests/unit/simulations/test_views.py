"""Tasks of other kinds in a comparison: one column a yes-or-no question."""

from typing import Any

import numpy as np

from fedehr_simulations.outcome.held_out import HeldOut
from fedehr_simulations.outcome.views import held_out_views, probabilities_of_views


def test_each_kind_becomes_its_questions(make_study: Any) -> None:
    study = make_study(
        finetuning={"tasks": ["death", "place", "days", "return"]},
        tasks={
            "place": {"kind": "multiclass", "classes": ["home", "care"]},
            "days": {"kind": "regression"},
            "return": {"kind": "time_to_event", "interval_ends_hours": [24.0, 48.0]},
        },
    )
    labels = np.asarray([
        [1, 0, 3.5, 10], [0, 1, 2.5, -10], [np.nan, np.nan, 1, -60], [0, 0, 9, 50],
    ])  # fmt: skip
    ids = np.arange(4)
    held_out = HeldOut(study.finetuning.tasks, ("a",), np.repeat("a", 4), ids, ids, labels)
    outputs = np.arange(24).reshape(4, 6) / 24
    views = held_out_views(study, held_out)
    assert views.tasks == ("death", "place.home", "place.care", "return")
    nan = np.nan
    expected = [[1, 1, 0, 1], [0, 0, 1, nan], [nan, nan, nan, 0], [0, 1, 0, 0]]
    np.testing.assert_array_equal(views.labels, expected)
    found = probabilities_of_views(study, held_out, outputs)
    np.testing.assert_array_equal(found, outputs[:, [0, 1, 2, 5]])
    # An arm without any model has no probabilities, whatever the width of its nothing.
    nothing = probabilities_of_views(study, held_out, np.full((4, 4), np.nan))
    assert nothing.shape == (4, 4)
    assert np.isnan(nothing).all()
