"""The entropy of a site's code frequencies, against a count token by token."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.answers.site_data import SiteData
from fedehr_client.check.vocabulary import own_vocabulary
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocation
from fedehr_client.training import batches
from fedehr_client.training.batches import PretrainingData
from fedehr_client.training.entropy import code_entropy, frequency_losses
from fedehr_shared.meds.reader import read_splits

ONE_THREAD = ComputeConfig(device="cpu", num_threads=1)


@pytest.fixture(scope="module")
def subjects(hospitals: Any, make_study: Any, tmp_path_factory: Any) -> PretrainingData:
    """The training subjects of the second hospital."""
    work: Path = tmp_path_factory.mktemp("entropy")
    site, study = hospitals.sites[1], make_study()
    location = SiteLocation(site.name, site, work, 5, ONE_THREAD)
    return SiteData(location, study, own_vocabulary(site, study, 5)).pretraining()


def _naive_counts(data: PretrainingData) -> Counter[int]:
    counts: Counter[int] = Counter()
    for row in data.rows.tolist():
        begin, end = data.store.offsets[row], data.store.offsets[row + 1]
        counts.update(data.store.tokens[begin:end].tolist())
    return Counter({t: n for t, n in counts.items() if data.is_maskable[t]})


def test_it_is_what_a_count_token_by_token_gives(subjects: PretrainingData) -> None:
    counts = _naive_counts(subjects)
    total = sum(counts.values())
    expected = -sum(n / total * math.log(n / total) for n in counts.values())
    assert code_entropy(subjects) == pytest.approx(expected, rel=1e-12)
    assert 0 < expected < math.log(subjects.code_of_token.size)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_any_subjects_in_any_blocks_are_counted_once(
    subjects: PretrainingData, data: st.DataObject
) -> None:
    everyone = st.integers(0, subjects.store.num_subjects - 1)
    rows = np.asarray(data.draw(st.lists(everyone, unique=True)), dtype=np.int64)
    some = replace(subjects, rows=rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_BLOCK_SUBJECTS", data.draw(st.integers(1, 100)))
        counts = some.token_counts
    found = {token: int(num) for token, num in enumerate(counts.tolist()) if num}
    assert found == _naive_counts(some)


def test_no_split_but_training_counts(subjects: PretrainingData, hospitals: Any) -> None:
    splits = read_splits(hospitals.sites[1])
    ids = subjects.store.subject_ids[subjects.rows].tolist()
    assert {splits[subject] for subject in ids} == {"train"}
    everyone = replace(subjects, rows=np.arange(subjects.store.num_subjects))
    assert everyone.token_counts.sum() > subjects.token_counts.sum()


def test_nothing_to_hide_has_no_entropy(subjects: PretrainingData) -> None:
    assert code_entropy(replace(subjects, rows=np.empty(0, dtype=np.int64))) == 0.0


def test_naming_the_training_tokens_by_their_frequencies_costs_the_entropy(
    subjects: PretrainingData,
) -> None:
    counts = subjects.token_counts
    loss = float(np.repeat(frequency_losses(subjects), counts).mean())
    # The ones added cost at most ln(1 + kinds of token / tokens seen).
    most = code_entropy(subjects) + counts.size / counts.sum()
    assert code_entropy(subjects) <= loss < most


def test_the_rarer_a_token_the_more_it_costs_and_one_never_seen_is_finite(
    subjects: PretrainingData,
) -> None:
    one = replace(subjects, rows=subjects.rows[:1])
    counts, losses = one.token_counts, frequency_losses(one)
    assert np.isnan(losses).tolist() == (~one.is_maskable).tolist()
    assert np.isfinite(losses[one.is_maskable & (counts == 0)]).all()
    order = np.argsort(counts[one.is_maskable], kind="stable")
    assert (np.diff(losses[one.is_maskable][order]) <= 0).all()
