"""The first phase's answer at a site: written down, charged once, never drawn twice."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_client.answers.answer import answer
from fedehr_client.answers.site_data import SiteData
from fedehr_client.answers.study_gate import StudyGate
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.ledger.entry import Reserved
from fedehr_client.ledger.ledger import Ledger
from fedehr_client.locator import SiteLocation
from fedehr_client.vocabulary.answer import VocabularyAnswer
from fedehr_client.vocabulary.noisy_histogram import NUM_LEVELS
from fedehr_shared.errors import DataError, MissingTaskError, WireError
from fedehr_shared.vocabulary.build import build_vocabulary
from fedehr_shared.vocabulary.grid import value_at
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.vocabulary_payload import report_from_payload
from fedehr_shared.wire.work import Work, WorkId

ONE_THREAD = ComputeConfig(device="cpu", num_threads=1)

NOISE = {"noise_epsilon": 20.0, "noise_delta": 1e-6}


@pytest.fixture
def location(copied_hospitals: Any, tmp_path: Path) -> SiteLocation:
    site = copied_hospitals.sites[0]
    return SiteLocation(site.name, site, tmp_path / "work", 5, ONE_THREAD)


def _asked(study: Any, location: SiteLocation, noise: Any = None) -> VocabularyAnswer:
    gate = StudyGate(study, location)
    return VocabularyAnswer(study, location, noise, charge=gate.charge_vocabulary)


def _spent(location: SiteLocation) -> list[Reserved]:
    entries = Ledger(location.work, location.ceiling, location.name).entries()
    return [entry for entry in entries if isinstance(entry, Reserved)]


def _sent(location: SiteLocation, study: Any) -> dict[str, Any]:
    file = location.work / "sent" / f"vocabulary-{study.digest[:12]}.json"
    content: dict[str, Any] = json.loads(file.read_text())
    return content


@pytest.mark.parametrize("noise", [{}, NOISE])
def test_what_is_sent_stands_in_a_file(
    make_study: Callable[..., Any], location: SiteLocation, noise: dict[str, float]
) -> None:
    study = make_study(vocabulary=noise)
    report = report_from_payload(_asked(study, location).payload())
    sent = _sent(location, study)
    assert (sent["study"], sent["site"]) == (study.digest, location.name)
    assert sent["num_subjects"] == report.num_subjects
    assert sent["num_subjects_by_code"] == report.num_subjects_by_code
    assert sent["parents"] == report.parents
    assert sent["histograms"].keys() == report.histograms.keys()
    assert report.histograms
    for code, told in report.histograms.items():
        written = sent["histograms"][code]
        assert written["grid_edges"] == list(told.edges)
        assert written["num_subjects"] == list(told.counts)
        assert written["edges"] == pytest.approx([value_at(e) for e in told.edges], rel=1e-5)
    labels = {task: tuple(counts) for task, counts in sent["labels"].items()}
    assert labels == report.labels
    assert report.labels
    assert (sent["noise"] is None) == (not noise)
    file = location.work / "sent" / f"vocabulary-{study.digest[:12]}.json"
    assert file.stat().st_mode & 0o077 == 0


def test_a_report_without_noise_costs_nothing_and_is_the_same_again(
    make_study: Callable[..., Any], location: SiteLocation
) -> None:
    study = make_study()
    first = _asked(study, location).payload()
    assert _asked(study, location).payload() == first
    assert _spent(location) == []


def test_a_noisy_report_is_charged_once_and_sent_again_as_it_was(
    make_study: Callable[..., Any], location: SiteLocation
) -> None:
    study = make_study(vocabulary=NOISE)
    first = _asked(study, location).payload()
    again = _asked(study, location).payload()
    assert again == first
    (line,) = _spent(location)
    noise = report_from_payload(first).noise
    assert noise is not None
    assert (line.study, line.phase, line.round) == (study.digest, "vocabulary", 1)
    cells = study.vocabulary.max_codes_per_subject * (1 + NUM_LEVELS)
    sensitivity = math.sqrt(cells + len(study.finetuning.tasks))
    assert line.steps.noise_multiplier == pytest.approx(noise.sigma / sensitivity)
    assert (line.steps.sample_rate, line.steps.num_steps) == (1.0, 1)
    assert (line.delta, line.naming_delta) == (1e-6, 5e-7)


def test_another_study_other_records_or_a_lost_report_cost_again(
    make_study: Callable[..., Any], location: SiteLocation
) -> None:
    study = make_study(vocabulary=NOISE)
    first = _asked(study, location).payload()
    _asked(study.with_seed(1), location).payload()
    assert len(_spent(location)) == 2
    status = os.stat(location.records.splits_file)
    os.utime(location.records.splits_file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    changed = _asked(study, location).payload()
    assert len(_spent(location)) == 3
    assert changed != first
    for file in (location.work / "vocabulary").glob("*.json"):
        file.unlink()
    _asked(study, location).payload()
    assert [line.delta for line in _spent(location)] == [1e-6] * 4


def test_two_sites_with_the_same_records_draw_other_noise(
    make_study: Callable[..., Any], location: SiteLocation, tmp_path: Path
) -> None:
    study = make_study(vocabulary=NOISE)
    twin = replace(location, work=tmp_path / "twin")
    one, other = (_asked(study, at).payload() for at in (location, twin))
    assert one.values["report"] == other.values["report"]
    assert one.values["codes"] != other.values["codes"]


def test_a_charge_stands_before_anything_can_fail(
    make_study: Callable[..., Any], location: SiteLocation
) -> None:
    class Broken:
        def standard_normal(self, size: int) -> Any:
            raise RuntimeError("no entropy")

        random = standard_normal

    with pytest.raises(RuntimeError):
        _asked(make_study(vocabulary=NOISE), location, Broken()).payload()
    assert len(_spent(location)) == 1


def test_what_cannot_be_written_down_does_not_leave(
    make_study: Callable[..., Any], location: SiteLocation
) -> None:
    location.work.mkdir()
    (location.work / "privacy").write_text("in the way")
    (location.work / "sent").write_text("in the way")
    with pytest.raises(DataError, match="account of privacy"):
        _asked(make_study(vocabulary=NOISE), location).payload()
    with pytest.raises(DataError, match="copy of what is sent"):
        _asked(make_study(), location).payload()


def test_a_damaged_report_is_for_a_person_to_remove(
    make_study: Callable[..., Any], location: SiteLocation
) -> None:
    study = make_study(vocabulary=NOISE)
    _asked(study, location).payload()
    (kept,) = (location.work / "vocabulary").glob("*.json")
    kept.write_text("{")
    with pytest.raises(DataError, match="charges the subjects again"):
        _asked(study, location).payload()
    assert len(_spent(location)) == 1


@pytest.mark.parametrize("noise", [{}, NOISE])
def test_a_reused_vocabulary_asks_for_labels_and_no_code(
    make_study: Callable[..., Any], location: SiteLocation, noise: dict[str, float]
) -> None:
    study = make_study(vocabulary={"reuse": "a" * 64, **noise})
    payload = _asked(study, location).payload()
    assert set(payload.values) == {"report", "labels"} | ({"noise"} if noise else set())
    plain = report_from_payload(_asked(make_study(), location).payload())
    told = report_from_payload(payload)
    assert told.num_subjects == plain.num_subjects
    assert _sent(location, study)["num_subjects_by_code"] == {}
    if not noise:
        assert told.labels == plain.labels


def test_a_missing_task_is_said_before_anything_is_charged(
    make_study: Callable[..., Any], location: SiteLocation
) -> None:
    study = make_study(vocabulary=NOISE, finetuning={"tasks": ["sepsis"]})
    with pytest.raises(MissingTaskError):
        _asked(study, location).payload()
    assert _spent(location) == []


def test_weights_with_another_vocabulary_than_the_study_names_are_refused(
    make_study: Callable[..., Any], location: SiteLocation
) -> None:
    study = make_study(vocabulary={"reuse": "a" * 64})
    other = Vocabulary(("A",), (None,))
    work = Work(
        WorkId(study.digest, "pretraining", 1, 1),
        study,
        model={"w": np.zeros(1, np.float32)},
        vocabulary_digest=other.digest,
        vocabulary_json=other.to_json(),
    )
    with pytest.raises(WireError, match="re-uses"):
        answer(work, location)


def test_studies_with_different_cells_tell_no_more_than_one(
    make_study: Callable[..., Any], location: SiteLocation
) -> None:
    """Counts rounded by fives and by sixes would meet in the exact one, and the edges of
    histograms would be every subject's value in turn."""
    told: dict[str, set[int]] = {}
    for min_cell in (5, 6, 7, 8, 9, 11):
        study = make_study(vocabulary={"min_cell": min_cell})
        report = report_from_payload(_asked(study, location).payload())
        assert report.unit >= min_cell
        counts = report.num_subjects_by_code | {"": report.num_subjects}
        counts |= {task: sum(parts) for task, parts in report.labels.items()}
        for name, num in counts.items():
            told.setdefault(name, set()).add(num)
            assert num >= min_cell
        for histogram in report.histograms.values():
            assert all(num % 5 == 0 for num in histogram.counts)
    assert all(num % 5 == 0 for counts in told.values() for num in counts)


def test_training_tells_counts_in_the_site_s_own_cells_too(
    make_study: Callable[..., Any], location: SiteLocation
) -> None:
    study = make_study(vocabulary={"min_cell": 7})
    payload = _asked(study, location).payload()
    vocabulary = build_vocabulary(
        [report_from_payload(payload)], study.vocabulary.model_copy(update={"min_sites": 1})
    )
    assert SiteData(location, study, vocabulary).min_cell == 10
