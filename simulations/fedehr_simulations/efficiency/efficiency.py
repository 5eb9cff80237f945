"""`run_efficiency`: every arm with every number of labels; what is done already is not done again.

OUT/members/  OUT/unseen/               the sites that take part, and the one that does not, by link
OUT/vocabularies/  OUT/models/          the one vocabulary, and what each seed pre-trained
OUT/pretrained/<digest>/                the pre-training of a seed
OUT/<arm>/seed-<n>/<labels>/            one arm with one draw of labels (see `arm_result.py`)
OUT/efficiency.json                     what was found, with the machine and the commit

OUT is for the researcher alone, whose machine holds all records: it is private (mode 0700).
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedehr_server.vocabulary_shelf import FOLDER_NAME, VocabularyShelf
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.folder_lock import try_lock_folder
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_simulations.arms.vocabulary import agreed_vocabulary
from fedehr_simulations.arms.workers import OnDone, Workers
from fedehr_simulations.efficiency.arm_result import ArmResult
from fedehr_simulations.efficiency.linked_sites import link_members, link_unseen
from fedehr_simulations.efficiency.record import EfficiencyRecord, build_record
from fedehr_simulations.efficiency.request import (
    MEMBERS_FOLDER,
    UNSEEN_FOLDER,
    ArmRun,
    EfficiencyRequest,
)
from fedehr_simulations.tuning_trials.pretraining_run import PretrainingRun

RECORD_FILE = "efficiency.json"


def run_efficiency(request: EfficiencyRequest, on_done: OnDone) -> EfficiencyRecord:
    """Pre-train, learn from labels, score and write `efficiency.json`.

    Args:
        request: what to do.
        on_done: told of each piece that is done.

    Raises:
        UsageError, DataError: see `EfficiencyRequest.check`; or another process works in the
            folder, or it holds runs of another study.
        FedehrError: a run failed.
    """
    members, unseen = request.check()
    request.out.mkdir(mode=0o700, parents=True, exist_ok=True)
    with try_lock_folder(request.out) as is_ours:
        if not is_ours:
            raise DataError(f"another process works in {request.out}. Wait for it to end.")
        with _scratch(request.scratch):
            record = _carry_out(request, members, unseen, on_done)
        record.write(request.out / RECORD_FILE)
    return record


def _carry_out(
    request: EfficiencyRequest,
    members: list[SiteFolder],
    unseen: SiteFolder | None,
    on_done: OnDone,
) -> EfficiencyRecord:
    members = link_members(request.out / MEMBERS_FOLDER, members)
    unseen = None if unseen is None else link_unseen(request.out / UNSEEN_FOLDER, unseen)
    text = agreed_vocabulary(request.study, request.out / MEMBERS_FOLDER, {})
    vocabulary = Vocabulary.from_json(text)
    VocabularyShelf(request.out / FOLDER_NAME).keep(vocabulary)
    sets = request.label_sets(members, unseen)
    pretrainings = request.pretrainings(vocabulary.digest)
    with Workers(on_done, request.num_actors) as workers:
        models = {
            run.study.seed: model
            for run, model in zip(pretrainings, _pretrain(workers, pretrainings), strict=True)
        }
        runs = request.runs(sets, vocabulary.digest, models)
        results = _learn(workers, runs)
    return build_record(request, sets, results, vocabulary.digest)


def _pretrain(workers: Workers, runs: list[PretrainingRun]) -> list[str]:
    earlier = [run.finished() for run in runs]
    left = [run for run, found in zip(runs, earlier, strict=True) if found is None]
    done = iter(workers.run(left))
    return [found or next(done) for found in earlier]


def _learn(workers: Workers, runs: list[ArmRun]) -> list[ArmResult]:
    earlier = [run.finished() for run in runs]
    left = [run for run, found in zip(runs, earlier, strict=True) if found is None]
    done = iter(workers.run(left))
    return [found or next(done) for found in earlier]


@contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    """Token stores last no longer than this, however it ends; a kill leaves them to the next."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
