"""A round's update rests on at least `min_cell` subjects, or the site takes no part in it."""

from pathlib import Path
from typing import Any

import pytest

from fedehr_client.answers.answer import answer
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocation
from fedehr_server.phases.model_state import first_finetuning_state, first_pretraining_state
from fedehr_shared.errors import TooFewSubjectsError
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.work import Work, WorkId

ONE_THREAD = ComputeConfig(device="cpu", num_threads=1)


ONE_AT_A_TIME = [
    {"steps_per_round": 1, "steps_per_epoch": 100_000},
    {"steps_per_round": 1, "batch_subjects": 1},
    {"steps_per_round": 10, "epochs_per_round": 0.01, "batch_subjects": 1},
    # The clock must not do what the steps may not.
    {"steps_per_round": 2, "batch_subjects": 1, "minutes_per_round": 1e-9},
]


@pytest.mark.parametrize("sections", ONE_AT_A_TIME)
@pytest.mark.parametrize("phase", ["pretraining", "finetuning"])
def test_a_study_that_asks_for_one_subject_at_a_time_gets_no_update(
    *, make_study: Any, hospitals: Any, finished_study: Any, tmp_path: Path, phase: Any,
    sections: Any,
) -> None:  # fmt: skip
    vocabulary = Vocabulary.from_json((finished_study.folder / "vocabulary.json").read_text())
    study = make_study(**{phase: sections})
    state = first_pretraining_state(study, vocabulary.num_tokens)
    if phase == "finetuning":
        state = first_finetuning_state(study, vocabulary.num_tokens, state, (0.0, 0.0), dict)
    site = hospitals.sites[0]
    work = Work(
        WorkId(study.digest, phase, 1, 1),
        study,
        state.weights,
        vocabulary_digest=vocabulary.digest,
        vocabulary_json=vocabulary.to_json(),
    )
    with pytest.raises(TooFewSubjectsError, match="min_cell = 5"):
        answer(
            work,
            SiteLocation(site.name, site, tmp_path / "work", 5, ONE_THREAD),
        )
