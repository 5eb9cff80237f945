"""`NetRun`: the net with one draw of labels, pre-trained or from its first weights.

The real client and the real server train it over the sites that hold the draw's labels.
"""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedehr_client.answers.site_data import SiteData
from fedehr_server.model_shelf import FOLDER_NAME as MODELS
from fedehr_server.model_shelf import ModelShelf
from fedehr_server.vocabulary_shelf import FOLDER_NAME as VOCABULARIES
from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import HELD_OUT, TUNING
from fedehr_shared.wire.payload import Arrays
from fedehr_simulations.ablation.commit import describe_commit
from fedehr_simulations.efficiency.arm_result import ArmFigures, ArmResult, key_of
from fedehr_simulations.efficiency.candidates import Candidate
from fedehr_simulations.efficiency.label_set import LabelSet
from fedehr_simulations.in_process import run_in_process
from fedehr_simulations.outcome.finished_run import site_location
from fedehr_simulations.probe.frozen_encoder import last_weights
from fedehr_simulations.tuning_trials.scores import TunedSite, score_split

RUN_FOLDER = "run"


@dataclass(frozen=True)
class NetRun:
    """A piece of work; see `Piece`.

    Attributes:
        arm: `pretrained`, `scratch` or `own_labels`.
        candidates: what is tried; the best on the tuning split is scored.
        labels: what it may learn from, and where it is scored.
        shelves: the folder that holds vocabularies and models.
        folder: where the result is kept.
        scratch: below it each process keeps its token stores from piece to piece.
        site: the one that learns alone; empty: all sites of the draw together.
    """

    arm: str
    candidates: tuple[Candidate, ...]
    labels: LabelSet
    shelves: Path
    folder: Path
    scratch: Path
    site: str = ""

    @property
    def title(self) -> str:
        """The piece in a few words."""
        return f"{self.arm}, {f'{self.site}, ' if self.site else ''}{self.labels.title}"

    @property
    def work(self) -> Path:
        """The process's own place for token stores."""
        return self.scratch / str(os.getpid())

    @property
    def key(self) -> str:
        """Of all that decides what comes out."""
        studies = [candidate.study.digest for candidate in self.candidates]
        return key_of(self.arm, *studies, self.labels.key)

    def finished(self) -> ArmResult | None:
        """What an earlier call left.

        Raises:
            DataError: a file is damaged or of another study.
        """
        return ArmResult.read(self.folder, self.key)

    def carry_out(self) -> ArmResult:
        """Train every candidate, and score the one that the tuning split chose.

        Raises:
            FedehrError: a study could not go on.
        """
        began = time.process_time()
        with self.labels.folder(self.work / "labels") as sites:
            trained = [self._train(candidate, sites) for candidate in self.candidates]
        best = int(np.argmax([np.nan_to_num(told.tuning, nan=-1.0) for told in trained]))
        chosen, tuning = self.candidates[best], trained[best].tuning
        figures = ArmFigures(
            arm=self.arm,
            seed=chosen.study.seed,
            num_labels=self.labels.num,
            site=self.site,
            key=self.key,
            chosen=chosen.name,
            tuning_auroc=None if np.isnan(tuning) else tuning,
            num_candidates=len(self.candidates),
            cpu_seconds=round(time.process_time() - began, 3),
            commit=describe_commit(),
        )
        scores = {
            place: score_split(
                chosen.study, self._tuned(chosen.study, trained[best].weights, sites), HELD_OUT
            )
            for place, sites in self.labels.scored.items()
        }
        result = ArmResult(figures, scores)
        result.write(self.folder)
        return result

    def _train(self, candidate: Candidate, sites: Sequence[SiteFolder]) -> "_Trained":
        run_folder = self.folder / RUN_FOLDER
        shutil.rmtree(run_folder, ignore_errors=True)
        try:
            result = run_in_process(
                candidate.study,
                sites,
                run_folder,
                self.work,
                num_threads=1,
                precision="fp32",
                shelf=VocabularyShelf(self.shelves / VOCABULARIES),
                models=ModelShelf(self.shelves / MODELS),
            )
            if result["missing"]:
                left = sorted({f"{told['site']} ({told['phase']})" for told in result["missing"]})
                raise DataError(
                    f"{self.title}: not all sites took part to the end: {', '.join(left)}. Arms "
                    "that learn from different labels cannot be compared."
                )
            weights = last_weights(run_folder)
        finally:
            _forget(self.work)
            shutil.rmtree(run_folder, ignore_errors=True)
        told = score_split(candidate.study, self._tuned(candidate.study, weights, sites), TUNING)
        return _Trained(weights, mean_auroc(told.auroc(min_cell=1)))

    def _tuned(
        self, study: StudyConfig, weights: Arrays, sites: Sequence[SiteFolder]
    ) -> list[TunedSite]:
        vocabulary = VocabularyShelf(self.shelves / VOCABULARIES).take(study.vocabulary.reuse)
        return [
            TunedSite(SiteData(site_location(study, site, self.work), study, vocabulary), weights)
            for site in sites
        ]


@dataclass(frozen=True)
class _Trained:
    """A candidate's weights, and its AUROC on the tuning split."""

    weights: Arrays
    tuning: float


def mean_auroc(by_view: dict[str, float | None]) -> float:
    """The mean over the tasks that have both outcomes; NaN where none has."""
    told = [value for value in by_view.values() if value is not None]
    return float(np.mean(told)) if told else float("nan")


def _forget(work: Path) -> None:
    """All that a study leaves at a site but its token store."""
    for kept in work.glob("*/*"):
        if kept.name != "tokens" and kept.parent.name != "labels":
            shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
