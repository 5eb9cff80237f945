"""A model is filled only with weights that fit it, and costs nothing before they do."""

import resource

import numpy as np
import pytest

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.errors import WireError
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import build_model, draw_first_weights, parameters_of

SMALL = ModelConfig(layers=1, hidden=16, heads=2)


def test_a_filled_model_holds_the_weights() -> None:
    drawn = draw_first_weights(PretrainingModel(SMALL, ObjectiveConfig(), 30), 7)
    model = build_model(lambda: PretrainingModel(SMALL, ObjectiveConfig(), 30), drawn)
    found = parameters_of(model)
    assert {n: a.tobytes() for n, a in found.items()} == {n: a.tobytes() for n, a in drawn.items()}


def test_a_study_of_a_huge_model_without_its_weights_takes_no_memory() -> None:
    huge = ModelConfig(layers=48, hidden=4_096, heads=64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WireError, match="tensors missing"):
        build_model(
            lambda: PretrainingModel(huge, ObjectiveConfig(), 50_000),
            {"w": np.zeros(1, np.float32)},
        )
    grown_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # Its weights alone would be 39 GB.
    assert grown_kilobytes < 500_000
