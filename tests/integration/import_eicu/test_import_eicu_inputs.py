"""What training is given of an imported subject: nothing later than its prediction."""

from pathlib import Path

import numpy as np
import pytest

from fedehr_client.importers.eicu.importer import EicuImporter
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.importer import run_import
from fedehr_client.training.examples import select_examples
from fedehr_shared.meds.folder import FederationFolder, SiteFolder
from fedehr_shared.meds.reader import Events, read_events, read_labels, read_splits
from fedehr_shared.meds.schema import SPLITS
from fedehr_shared.tokens.back_off import BackOffShares
from fedehr_shared.tokens.store import TokenStore

TASKS = ["in_hospital_death", "long_stay"]


@pytest.fixture(scope="session")
def sites(source: EicuImporter, tmp_path_factory: pytest.TempPathFactory) -> list[SiteFolder]:
    out: Path = tmp_path_factory.mktemp("inputs") / "out"
    run_import(source, out, ImportSettings(memory_limit_bytes=8 * 10**9), lambda _: None)
    return FederationFolder(out).sites


def _store(events: Events) -> TokenStore:
    """A store whose tokens are the numbers of its events: nothing is left out or renamed."""
    subject_ids, starts = np.unique(events.subject_ids, return_index=True)
    size = len(events)
    return TokenStore(
        tokens=np.arange(size, dtype=np.int32),
        times=events.times,
        hours=np.zeros(size, dtype=np.float32),
        visits=np.zeros(size, dtype=np.int32),
        offsets=np.append(starts, size).astype(np.int64),
        subject_ids=subject_ids,
        first_ages=np.full(subject_ids.size, np.nan, dtype=np.float32),
        sexes=np.zeros(subject_ids.size, dtype=np.uint8),
        back_off=BackOffShares(1.0, 0.0, 0.0, 0.0),
    )


def test_an_input_ends_at_its_prediction(sites: list[SiteFolder]) -> None:
    num_cut = 0
    for site in sites:
        events = read_events(site)
        labels = {task: read_labels(site, task) for task in TASKS}
        predictions = {
            (subject, time)
            for task in TASKS
            for subject, time in zip(
                labels[task].subject_ids.tolist(),
                labels[task].prediction_times.tolist(),
                strict=True,
            )
        }
        store, splits, found = _store(events), read_splits(site), 0
        for split in SPLITS:
            examples = select_examples(
                store, labels, tasks=TASKS, splits=splits, split=split, context=len(events) + 2
            )
            found += len(examples)
            for subject, window in zip(examples.subject_ids, examples.windows, strict=True):
                times = events.times[window.begin : window.end]
                due = [time for person, time in predictions if person == subject]
                assert times.max() <= max(due)
                of_subject = events.subject_ids == subject
                assert window.end - window.begin in {
                    int((of_subject & (events.times <= time)).sum()) for time in due
                }
                num_cut += int(of_subject.sum()) - (window.end - window.begin)
        assert found == len(predictions) > 0
    assert num_cut > 0  # there was something later to leave out


def test_every_input_holds_its_own_unit_stay(sites: list[SiteFolder]) -> None:
    day = 24 * 3600 * 1_000_000
    for site in sites:
        events = read_events(site)
        is_admission = np.asarray([code.startswith("ICU_ADMISSION//") for code in events.codes])
        rows = np.flatnonzero(is_admission[events.code_indices])
        admitted = set(zip(events.subject_ids[rows], events.times[rows], strict=True))
        for task in TASKS:
            labels = read_labels(site, task)
            due = zip(labels.subject_ids, labels.prediction_times - day, strict=True)
            assert set(due) <= admitted
