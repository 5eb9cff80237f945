"""`run_ablation`: every variant with every seed; what is done already is not done again.

OUT/<variant>/seed-<n>/    one run (see `run.py`)
OUT/vocabularies/          the one vocabulary of all runs
OUT/ablation.json          what was found, with the machine and the commit

OUT is for the researcher alone, whose machine holds all records: it is private (mode 0700).
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedehr_server.vocabulary_shelf import FOLDER_NAME, VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.folder_lock import try_lock_folder
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_simulations.ablation.record import AblationRecord, build_record
from fedehr_simulations.ablation.run import AblationRun
from fedehr_simulations.ablation.variants import Variant
from fedehr_simulations.arms.site_report import SiteReport
from fedehr_simulations.arms.vocabulary import agreed_vocabulary
from fedehr_simulations.arms.workers import OnDone, Workers
from fedehr_simulations.engine.request import check_request

WORK_FOLDER, RECORD_FILE = ".work", "ablation.json"


@dataclass(frozen=True)
class AblationRequest:
    """An ablation.

    Attributes:
        study: the study that the variants change.
        federation: the federation folder.
        variants: in the order of the table.
        num_seeds: seeds rising from the study's own.
        out: a new folder, or one that an earlier ablation of the same began.
        num_actors: runs side by side, None: one a core.
    """

    study: StudyConfig
    federation: Path
    variants: tuple[Variant, ...]
    num_seeds: int
    out: Path
    num_actors: int | None = None

    def check(self) -> list[SiteFolder]:
        """The sites, when everything that can be checked beforehand is right.

        Raises:
            UsageError: there is no seed.
            DataError: a site lacks what the study asks for.
        """
        if self.num_seeds < 1:
            raise UsageError(f"--seeds {self.num_seeds}: choose 1 or more.")
        return check_request(self.study, self.federation)

    def runs(self, vocabulary: Vocabulary) -> list[AblationRun]:
        """All runs, seed after seed, so that a first seed of all is there early."""
        return [
            self._run(variant, self.study.seed + more, vocabulary)
            for more in range(self.num_seeds)
            for variant in self.variants
        ]

    def _run(self, variant: Variant, seed: int, vocabulary: Vocabulary) -> AblationRun:
        section = variant.study.vocabulary.model_copy(update={"reuse": vocabulary.digest})
        study = variant.study.with_seed(seed).model_copy(update={"vocabulary": section})
        return AblationRun(
            variant=variant.name,
            study=study,
            pooled=variant.pooled,
            federation=self.federation,
            shelf=self.out / FOLDER_NAME,
            folder=self.out / variant.name / f"seed-{seed}",
            work=self.scratch / f"{variant.name}-{seed}",
        )

    @property
    def scratch(self) -> Path:
        """Token stores and pooled records lie here while the ablation runs."""
        return self.out / WORK_FOLDER


def run_ablation(request: AblationRequest, on_done: OnDone) -> AblationRecord:
    """Train, measure and write `ablation.json`.

    Args:
        request: what to do.
        on_done: told of each run that is done.

    Returns:
        What was found; runs that failed are named in it.

    Raises:
        UsageError, DataError: see `AblationRequest.check`; or another process works in the
            folder, or it holds runs of another study.
    """
    sites = request.check()
    request.out.mkdir(mode=0o700, parents=True, exist_ok=True)
    with try_lock_folder(request.out) as is_ours:
        if not is_ours:
            raise DataError(f"another process works in {request.out}. Wait for it to end.")
        with _scratch(request.out):
            record = _carry_out(request, sites, on_done)
        record.write(request.out / RECORD_FILE)
    return record


def _carry_out(
    request: AblationRequest, sites: Sequence[SiteFolder], on_done: OnDone
) -> AblationRecord:
    text = agreed_vocabulary(request.study, request.federation, {})
    vocabulary = Vocabulary.from_json(text)
    VocabularyShelf(request.out / FOLDER_NAME).keep(vocabulary)
    runs = request.runs(vocabulary)
    earlier = [run.finished() for run in runs]
    left = [run for run, found in zip(runs, earlier, strict=True) if found is None]
    reports = [
        SiteReport(request.study, site, text, request.out, request.scratch / site.name)
        for site in sites
    ]
    with Workers(on_done, request.num_actors) as workers:
        summaries = workers.run(reports)
        done = iter(workers.run(left))
    outcomes = [found or next(done) for found in earlier]
    return build_record(request.study, request.variants, outcomes, summaries)


@contextmanager
def _scratch(out: Path) -> Iterator[None]:
    """Token stores last no longer than this, however it ends; a kill leaves them to the next."""
    try:
        yield
    finally:
        shutil.rmtree(out / WORK_FOLDER, ignore_errors=True)
