"""`run_trials`: pre-train once a seed, fine-tune in every way; what is done is not done again.

OUT/vocabularies/  OUT/models/     what all runs share
OUT/pretrained/    see `pretraining_run.py`
OUT/trials/        see `trial.py`
OUT/<name of the variants' file>.json   what was found

OUT is for the researcher alone, whose machine holds all records: it is private (mode 0700).
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedehr_server.model_shelf import FOLDER_NAME as MODELS
from fedehr_server.vocabulary_shelf import FOLDER_NAME as VOCABULARIES
from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.folder_lock import try_lock_folder
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_simulations.arms.site_report import SiteReport
from fedehr_simulations.arms.vocabulary import agreed_vocabulary
from fedehr_simulations.arms.workers import OnDone, Workers
from fedehr_simulations.engine.request import check_request
from fedehr_simulations.tuning_trials.choice import chosen_place
from fedehr_simulations.tuning_trials.pretraining_run import FOLDER_DIGITS, PretrainingRun
from fedehr_simulations.tuning_trials.record import TuningRecord
from fedehr_simulations.tuning_trials.results import VariantTrials, build_record
from fedehr_simulations.tuning_trials.trial import Trial, TrialOutcome
from fedehr_simulations.tuning_trials.variants import Candidate, TuningVariant
from fedehr_simulations.verdict.verdict import SiteSummary

_WORK = ".work"
_Tried = dict[int, dict[int, TrialOutcome]]


@dataclass(frozen=True)
class TrialsRequest:
    """What is to be tried.

    Attributes:
        study: the study that the variants change.
        federation: the federation folder.
        variants: in the order of the table; the first is what the others are compared with.
        num_seeds: seeds rising from the study's own.
        num_grid_seeds: the first so many try every candidate of a variant, the others the chosen
            one alone.
        out: a new folder, or one of an earlier call with the same study.
        num_actors: trials side by side, None: one a core.
    """

    study: StudyConfig
    federation: Path
    variants: tuple[TuningVariant, ...]
    num_seeds: int
    num_grid_seeds: int
    out: Path
    num_actors: int | None = None

    def check(self) -> list[SiteFolder]:
        """The sites, when everything that can be checked beforehand is right.

        Raises:
            UsageError: there is no seed, or nothing to pre-train.
            DataError: a site lacks what the study asks for.
        """
        if not 1 <= self.num_grid_seeds <= self.num_seeds:
            raise UsageError(
                f"--grid-seeds {self.num_grid_seeds}: choose 1 to --seeds ({self.num_seeds})."
            )
        if self.study.pretraining.rounds == 0 or self.study.finetuning.rounds == 0:
            raise UsageError("the study lacks rounds of pre-training or of fine-tuning.")
        return check_request(self.study, self.federation)

    @property
    def seeds(self) -> list[int]:
        """The study's own and those after it."""
        return [self.study.seed + more for more in range(self.num_seeds)]

    @property
    def scratch(self) -> Path:
        """Token stores lie here while the trials run."""
        return self.out / _WORK

    def pretraining(self, candidate: Candidate, seed: int, vocabulary: str) -> PretrainingRun:
        """The pre-training that a candidate's fine-tuning with a seed begins from."""
        study = _with(candidate.pretraining or self.study, seed, vocabulary)
        finetuning = study.finetuning.model_copy(update={"rounds": 0})
        return PretrainingRun(
            study=study.model_copy(update={"finetuning": finetuning}),
            federation=self.federation,
            vocabularies=self.out / VOCABULARIES,
            models=self.out / MODELS,
            out=self.out,
            work=self.scratch / f"pretraining-{study.digest[:FOLDER_DIGITS]}",
        )

    def trial(self, variant: TuningVariant, place: int, seed: int, begin: "Begin") -> Trial:
        """One candidate of a variant with one seed."""
        candidate = variant.candidates[place]
        study = _with(candidate.study, seed, begin.vocabulary)
        model = begin.models[self.pretraining(candidate, seed, begin.vocabulary).study.digest]
        reuse = {"rounds": 0, "reuse": model}
        pretraining = study.pretraining.model_copy(update=reuse)
        told = [f"{key.rpartition('.')[2]} {value}" for key, value in candidate.settings.items()]
        return Trial(
            label=", ".join([variant.name, *told]),
            study=study.model_copy(update={"pretraining": pretraining}),
            noise=variant.noise,
            federation=self.federation,
            out=self.out,
            scratch=self.scratch,
        )


@dataclass(frozen=True)
class Begin:
    """What all trials begin with.

    Attributes:
        vocabulary: its digest.
        models: by the digest of the study that pre-trained, that of the model.
    """

    vocabulary: str
    models: dict[str, str]


def run_trials(request: TrialsRequest, on_done: OnDone) -> TuningRecord:
    """Pre-train, fine-tune, choose by the tuning split and score.

    Args:
        request: what to do.
        on_done: told of each run that is done.

    Returns:
        What was found; trials that failed are named in it.

    Raises:
        FedehrError: see `carry_out_trials`.
    """
    done = carry_out_trials(request, on_done)
    return build_record(request.study, done.trials, done.sites)


@dataclass(frozen=True)
class FinishedTrials:
    """What was carried out.

    Attributes:
        trials: by variant.
        sites: what each site brought.
    """

    trials: list[VariantTrials]
    sites: list[SiteSummary]


def carry_out_trials(request: TrialsRequest, on_done: OnDone) -> FinishedTrials:
    """Pre-train, fine-tune and choose by the tuning split; what is done is not done again.

    Args:
        request: what to do.
        on_done: told of each run that is done.

    Raises:
        UsageError, DataError: see `TrialsRequest.check`; or another process works in the folder,
            or it holds runs of another study.
        FedehrError: a pre-training failed.
    """
    sites = request.check()
    request.out.mkdir(mode=0o700, parents=True, exist_ok=True)
    with try_lock_folder(request.out) as is_ours:
        if not is_ours:
            raise DataError(f"another process works in {request.out}. Wait for it to end.")
        with _scratch(request.scratch), Workers(on_done, request.num_actors) as workers:
            return _carry_out(request, sites, workers)


def _carry_out(
    request: TrialsRequest, sites: Sequence[SiteFolder], workers: Workers
) -> FinishedTrials:
    text = agreed_vocabulary(request.study, request.federation, {})
    vocabulary = Vocabulary.from_json(text)
    VocabularyShelf(request.out / VOCABULARIES).keep(vocabulary)
    begin = Begin(vocabulary.digest, _pretrain(request, vocabulary.digest, workers))
    trials = _try(request, begin, workers)
    summaries = workers.run(
        [
            SiteReport(request.study, site, text, request.out, request.scratch / site.name)
            for site in sites
        ]
    )
    return FinishedTrials(trials, summaries)


def _pretrain(request: TrialsRequest, vocabulary: str, workers: Workers) -> dict[str, str]:
    """By the digest of the study that pre-trains, the model's."""
    asked = [
        request.pretraining(candidate, seed, vocabulary)
        for seed in request.seeds
        for variant in request.variants
        for candidate in variant.candidates
    ]
    runs = {run.study.digest: run for run in asked}
    known = {digest: run.finished() for digest, run in runs.items()}
    made = iter(workers.run([run for digest, run in runs.items() if known[digest] is None]))
    return {digest: model or next(made) for digest, model in known.items()}


def _try(request: TrialsRequest, begin: Begin, workers: Workers) -> list[VariantTrials]:
    """The grids on the first seeds, then what was chosen on the others."""
    first = request.seeds[: request.num_grid_seeds]
    grids = [
        (number, place, seed)
        for seed in first
        for number, variant in enumerate(request.variants)
        for place in range(len(variant.candidates))
    ]
    tried: list[_Tried] = [{} for _ in request.variants]
    _run(request, begin, workers, grids, tried)
    chosen = [_chosen(own) for own in tried]
    rest = [
        (number, place, seed)
        for seed in request.seeds[request.num_grid_seeds :]
        for number, place in enumerate(chosen)
        if place is not None
    ]
    _run(request, begin, workers, rest, tried)
    return [
        VariantTrials(variant, own, place)
        for variant, own, place in zip(request.variants, tried, chosen, strict=True)
    ]


def _run(
    request: TrialsRequest,
    begin: Begin,
    workers: Workers,
    keys: Sequence[tuple[int, int, int]],
    tried: list[_Tried],
) -> None:
    """Carry out what is not finished; `tried` receives the outcomes of all."""
    trials = [
        request.trial(request.variants[number], place, seed, begin) for number, place, seed in keys
    ]
    earlier = [trial.finished() for trial in trials]
    left = [trial for trial, found in zip(trials, earlier, strict=True) if found is None]
    done = iter(workers.run(left))
    for (number, place, seed), found in zip(keys, earlier, strict=True):
        tried[number].setdefault(place, {})[seed] = found or next(done)


def _chosen(tried: _Tried) -> int | None:
    """The only candidate needs no tuning split."""
    if len(tried) == 1:
        return next(iter(tried))
    scores = [
        [None if o.figures is None else o.figures.tuning_score for o in by_seed.values()]
        for by_seed in tried.values()
    ]
    return chosen_place(scores)


def _with(study: StudyConfig, seed: int, vocabulary: str) -> StudyConfig:
    section = study.vocabulary.model_copy(update={"reuse": vocabulary})
    return study.with_seed(seed).model_copy(update={"vocabulary": section})


@contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    """Token stores last no longer than this, however it ends; a kill leaves them to the next."""
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
