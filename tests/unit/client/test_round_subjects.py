"""A round's update rests on at least `min_cell` subjects, or the site takes no part in it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_client.answers.answer import answer
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocation
from fedehr_client.training.schedule import batch_rows, least_rows_of_round
from fedehr_server.phases.model_state import first_finetuning_state, first_pretraining_state
from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.errors import TooFewSubjectsError
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.work import Work, WorkId

ONE_THREAD = ComputeConfig(device="cpu", num_threads=1)


@given(
    num_rows=st.integers(1, 40),
    number=st.integers(1, 6),
    steps=st.integers(1, 12),
    per_epoch=st.integers(1, 12),
)
def test_a_round_sees_no_fewer_rows_than_it_says(
    num_rows: int, number: int, steps: int, per_epoch: int
) -> None:
    config = OptimizationConfig(steps_per_round=steps, steps_per_epoch=per_epoch)
    told = least_rows_of_round(num_rows, number, config)
    taken = range((number - 1) * steps, number * steps)
    rows = [batch_rows(num_rows, step, per_epoch, "seed") for step in taken]
    seen = np.unique(np.concatenate(rows)).size
    assert 0 <= told <= seen
    if any(set(range(e * per_epoch, (e + 1) * per_epoch)) <= set(taken) for e in range(80)):
        assert told == num_rows


@pytest.mark.parametrize("phase", ["pretraining", "finetuning"])
def test_a_study_that_asks_for_one_subject_at_a_time_gets_no_update(
    make_study: Any, hospitals: Any, finished_study: Any, tmp_path: Path, phase: Any
) -> None:
    vocabulary = Vocabulary.from_json((finished_study.folder / "vocabulary.json").read_text())
    study = make_study(**{phase: {"steps_per_round": 1, "steps_per_epoch": 100_000}})
    state = first_pretraining_state(study, vocabulary.num_tokens)
    if phase == "finetuning":
        state = first_finetuning_state(study, vocabulary.num_tokens, state, (0.0, 0.0))
    site = hospitals.sites[0]
    work = Work(
        WorkId(study.digest, phase, 1, 1), study, state.weights, None, vocabulary.digest,
        vocabulary.to_json(),
    )  # fmt: skip
    with pytest.raises(TooFewSubjectsError, match="steps_per_epoch"):
        answer(
            work,
            SiteLocation(site.name, site, tmp_path / "work", 5, ONE_THREAD),
        )
