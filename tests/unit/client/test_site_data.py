"""What a site trains on: whose sex is known, and who has anything to learn from."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_client.answers.answer import answer
from fedehr_client.answers.site_data import SiteData
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocation
from fedehr_server.phases.model_state import first_pretraining_state
from fedehr_shared.errors import TooFewSubjectsError
from fedehr_shared.meds.events import NO_TIME
from fedehr_shared.meds.reader import read_events, read_splits
from fedehr_shared.meds.schema import TRAIN
from fedehr_shared.tokens.collate import collate
from fedehr_shared.tokens.windows import epoch_windows
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.work import Work, WorkId

MIN_CELL = 5
SEXES = ("SEX//F", "SEX//M")


@pytest.fixture
def location(hospitals: Any, tmp_path: Path) -> SiteLocation:
    compute = ComputeConfig(device="cpu", num_threads=1)
    return SiteLocation("site", hospitals.sites[1], tmp_path / "work", MIN_CELL, compute)


def _vocabulary(*codes: str) -> Vocabulary:
    return Vocabulary(codes, (None,) * len(codes))


def _training_subjects_by_code(location: SiteLocation) -> Counter[str]:
    events, splits = read_events(location.records), read_splits(location.records)
    pairs = zip(events.subject_ids.tolist(), events.code_indices.tolist(), strict=True)
    return Counter(events.codes[code] for subject, code in set(pairs) if splits[subject] == TRAIN)


def test_every_position_carries_the_sex_of_the_records(
    location: SiteLocation, make_study: Any
) -> None:
    """In windows too that begin long after the token that tells it."""
    data = SiteData(location, make_study(), _vocabulary("SEX//F"))
    events = read_events(location.records)
    told = {
        subject: 1 + SEXES.index(events.codes[code])
        for subject, time, code in zip(
            events.subject_ids.tolist(), events.times.tolist(), events.code_indices.tolist(),
            strict=True,
        )
        if time == NO_TIME and events.codes[code] in SEXES
    }  # fmt: skip
    assert set(told.values()) == {1, 2}
    rows = np.arange(data.store.num_subjects)
    for epoch in range(3):
        windows = epoch_windows(data.store, rows, 8, epoch)
        batch = collate(data.store, windows)
        expected = windows.spread(np.asarray([told[s] for s in data.store.subject_ids.tolist()]))
        assert batch.sexes.tolist() == expected.tolist()


@pytest.mark.parametrize("codes", [SEXES, ("FROM//ANOTHER//SITE",), ()])
def test_a_site_with_nothing_to_hide_says_so_before_it_trains(
    location: SiteLocation, make_study: Any, codes: tuple[str, ...]
) -> None:
    study, vocabulary = make_study(vocabulary={"num_hash_buckets": 0}), _vocabulary(*codes)
    state = first_pretraining_state(study, vocabulary.num_tokens)
    work = Work(
        WorkId(study.digest, "pretraining", 1, 1),
        study,
        state.weights,
        vocabulary_digest=vocabulary.digest,
        vocabulary_json=vocabulary.to_json(),
    )
    with pytest.raises(TooFewSubjectsError, match=r"may hide.*vocabulary does not know.*anew"):
        answer(work, location)


def test_subjects_with_nothing_to_hide_are_left_out_and_the_rest_must_be_enough(
    location: SiteLocation, make_study: Any
) -> None:
    counts = _training_subjects_by_code(location)
    several = next(c for c, num in counts.items() if MIN_CELL <= num < max(counts.values()))
    data = SiteData(location, make_study(), _vocabulary(*SEXES, several))
    assert data.pretraining().rows.size == counts[several]
    few = next(code for code, num in counts.items() if num < MIN_CELL)
    with pytest.raises(TooFewSubjectsError, match=r"min_cell = 5 training .* hide"):
        SiteData(location, make_study(), _vocabulary(*SEXES, few)).pretraining()


def test_no_code_tells_whether_one_subject_has_an_event(
    location: SiteLocation, make_study: Any
) -> None:
    """The vocabulary in a request is whatever the coordinator wrote: here the code of a few, of
    one, or of nobody. Without noise all are too few; with it no refusal tells of any."""
    counts = _training_subjects_by_code(location)
    few = sorted((num, code) for code, num in counts.items() if num < MIN_CELL)
    vocabularies = [_vocabulary(code) for _, code in (few[0], few[-1])] + [_vocabulary("NOBODY")]
    without = {"num_hash_buckets": 0}
    private = {"mechanism": "local", "noise_multiplier": 1.0, "target_delta": 1e-5}
    study = make_study(vocabulary=without)
    for vocabulary in vocabularies:
        with pytest.raises(TooFewSubjectsError):
            SiteData(location, study, vocabulary).pretraining()
    noisy = make_study(vocabulary=without, privacy=private)
    rows = [SiteData(location, noisy, each).pretraining().rows.tolist() for each in vocabularies]
    assert rows[0] == rows[1] == rows[2]
    assert len(rows[0]) > max(num for num, _ in few)
