"""What a site does between rounds: its vocabulary, its token store, and what it refuses."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from fedehr_client.answers.answer import answer
from fedehr_client.answers.site_data import SiteData, keep_vocabulary
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocation
from fedehr_client.training.local_state import LocalState
from fedehr_client.training.pretraining import pretrain_round
from fedehr_server.phases.model_state import first_pretraining_state
from fedehr_shared.errors import (
    DataError,
    PolicyError,
    TooFewSubjectsError,
    VocabularyMissingError,
    WireError,
)
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.work import Work, WorkId

ONE_THREAD = ComputeConfig(device="cpu", num_threads=1)


@pytest.fixture(scope="module")
def vocabulary(finished_study: Any) -> Vocabulary:
    return Vocabulary.from_json((finished_study.folder / "vocabulary.json").read_text())


def _location(site: Any, work: Path, min_cell: int = 5) -> SiteLocation:
    return SiteLocation(site.name, site, work, min_cell, ONE_THREAD)


def _work(study: Any, phase: Any, **more: Any) -> Work:
    return Work(WorkId(study.digest, phase, 1, 1), study, **more)


@pytest.mark.parametrize("phase", ["vocabulary", "pretraining", "finetuning", "evaluation"])
def test_a_study_below_the_floor_is_refused_in_every_phase(
    make_study: Any, hospitals: Any, tmp_path: Path, phase: str
) -> None:
    work = _work(make_study(), phase)
    with pytest.raises(PolicyError, match="floor"):
        answer(work, _location(hospitals.sites[0], tmp_path / "work", 6))
    assert not (tmp_path / "work").exists()


def test_a_study_that_begins_anew_finds_nothing_of_the_run_before(
    make_study: Any, hospitals: Any, tmp_path: Path
) -> None:
    """The site may miss the new run's first round, and must not go on from the old one's."""
    study, others = make_study(), make_study(seed=7)
    for each in (study, others):
        state = LocalState(tmp_path, each.digest, "pretraining", "v" * 64)
        state.keep(1, {"w": torch.ones(2)})
    answer(_work(study, "vocabulary"), _location(hospitals.sites[0], tmp_path))
    assert LocalState(tmp_path, study.digest, "pretraining", "v" * 64).before(2) is None
    assert LocalState(tmp_path, others.digest, "pretraining", "v" * 64).before(2) is not None


def test_records_that_change_during_a_round_are_in_no_answer_and_in_no_state(
    *, make_study: Any, hospitals: Any, vocabulary: Vocabulary, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """An erasure ends while the round still computes on the records as they were."""
    site = SiteFolder(shutil.copytree(hospitals.sites[0].path, tmp_path / "site"))
    location = _location(site, tmp_path / "work")
    study = make_study(pretraining={"optimizer_state": "kept"})
    state = first_pretraining_state(study, vocabulary.num_tokens)
    work = _work(
        study, "pretraining", model=state.weights, vocabulary_digest=vocabulary.digest,
        vocabulary_json=vocabulary.to_json(),
    )  # fmt: skip
    assert answer(work, location).tensors["update"]
    (kept,) = (tmp_path / "work" / "local_state").rglob("*.safetensors")

    def train(context: Any, data: Any) -> Any:
        done = pretrain_round(context, data)
        assert kept.is_file()
        os.utime(site.data_files[0], (1, 1))
        return done

    monkeypatch.setattr("fedehr_client.answers.answer.pretrain_round", train)
    with pytest.raises(WireError, match="records changed"):
        answer(work, location)
    assert not kept.exists()
    monkeypatch.undo()
    assert answer(work, location).tensors["update"]


def test_a_vocabulary_is_kept_for_later_rounds(tmp_path: Path, vocabulary: Vocabulary) -> None:
    work = tmp_path / "work"
    with pytest.raises(VocabularyMissingError):
        keep_vocabulary(work, vocabulary.digest, "")
    assert keep_vocabulary(work, vocabulary.digest, vocabulary.to_json()) == vocabulary
    assert keep_vocabulary(work, vocabulary.digest, "") == vocabulary
    assert [f.name for f in work.iterdir()] == ["vocabulary.json"]
    # Another study's vocabulary is not this one's.
    with pytest.raises(VocabularyMissingError):
        keep_vocabulary(work, "0" * 64, "")
    with pytest.raises(WireError, match="digest"):
        keep_vocabulary(work, "0" * 64, vocabulary.to_json())
    assert keep_vocabulary(work, vocabulary.digest, "") == vocabulary


def test_a_request_without_weights_is_refused(
    make_study: Any, hospitals: Any, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    known = {"vocabulary_digest": vocabulary.digest, "vocabulary_json": vocabulary.to_json()}
    work = _work(make_study(), "pretraining", **known)
    with pytest.raises(WireError, match="weights"):
        answer(work, _location(hospitals.sites[2], tmp_path / "work"))


def test_weights_of_another_size_are_refused(
    make_study: Any, hospitals: Any, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    study = make_study()
    weights = first_pretraining_state(study, vocabulary.num_tokens + 1).weights
    known = {"vocabulary_digest": vocabulary.digest, "vocabulary_json": vocabulary.to_json()}
    work = _work(study, "pretraining", model=weights, **known)
    with pytest.raises(WireError, match="not float32"):
        answer(work, _location(hospitals.sites[2], tmp_path / "work"))


def _made(work: Path) -> int:
    return (work / "tokens" / "manifest.json").stat().st_mtime_ns


def test_the_token_store_is_made_once_and_anew_when_what_it_rests_on_changes(
    make_study: Callable[..., Any], copied_hospitals: Any, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    site, work = copied_hospitals.sites[2], tmp_path / "work"
    location = _location(site, work)
    first = SiteData(location, make_study(), vocabulary).store
    made = _made(work)
    SiteData(location, make_study(seed=3), vocabulary)
    assert _made(work) == made
    # Records imported again: half the subjects are gone.
    table = pq.read_table(site.data_files[0])
    kept = first.subject_ids[::2].tolist()
    rows = np.isin(table.column("subject_id").to_numpy(), kept)
    pq.write_table(table.filter(rows), site.data_files[0])
    again = SiteData(location, make_study(), vocabulary).store
    assert _made(work) != made
    assert again.subject_ids.tolist() == kept
    # Another way to cut sequences, another floor, another vocabulary: each another store.
    for changed in (
        lambda: SiteData(location, make_study(sequence={"skip_repeats": False}), vocabulary),
        lambda: SiteData(_location(site, work, 7), make_study(), vocabulary),
        lambda: SiteData(
            location, make_study(), Vocabulary(vocabulary.codes[:-1], vocabulary.cuts[:-1])
        ),
    ):
        before = _made(work)
        changed()
        assert _made(work) != before


def test_a_damaged_store_is_a_clear_data_error(
    make_study: Callable[..., Any], hospitals: Any, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    location = _location(hospitals.sites[2], tmp_path / "work")
    SiteData(location, make_study(), vocabulary)
    file = location.work / "tokens" / "tokens.npy"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match=r"tokens\.npy.*Remove it"):
        SiteData(location, make_study(), vocabulary)


def test_splits_do_not_mix(
    make_study: Callable[..., Any], hospitals: Any, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    from fedehr_shared.meds.reader import read_splits

    site = hospitals.sites[1]
    data = SiteData(_location(site, tmp_path / "work"), make_study(), vocabulary)
    splits = read_splits(site)
    trained = data.store.subject_ids[data.pretraining().rows].tolist()
    assert {splits[s] for s in trained} == {"train"}
    assert len(trained) == sum(split == "train" for split in splits.values())
    for split in ("train", "tuning", "held_out"):
        assert {splits[s] for s in data.examples(split).subject_ids.tolist()} == {split}


def test_too_few_subjects_take_no_part(
    make_study: Callable[..., Any], hospitals: Any, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    study = make_study(vocabulary={"min_cell": 200})
    data = SiteData(_location(hospitals.sites[1], tmp_path / "work"), study, vocabulary)
    with pytest.raises(TooFewSubjectsError, match="training subjects"):
        data.pretraining()
    with pytest.raises(TooFewSubjectsError, match="labelled"):
        data.training_examples()
