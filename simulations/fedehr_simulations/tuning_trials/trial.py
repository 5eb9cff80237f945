"""`Trial`: one candidate of a variant with one seed, fine-tuned and scored, as a piece of work.

OUT/trials/<digest>/run/           the coordinator's folder of the run
OUT/trials/<digest>/scores.npz     its held-out scores, subject by subject
OUT/trials/<digest>/figures.json   written last: a run without it is done again

The digest is of the study and of the noise: what two files of variants have in common is done once.
"""

import hashlib
import os
import shutil
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedehr_client.answers.site_data import SiteData
from fedehr_client.training.local_parts import LocalParts
from fedehr_server.model_shelf import FOLDER_NAME as MODELS
from fedehr_server.model_shelf import ModelShelf
from fedehr_server.vocabulary_shelf import FOLDER_NAME as VOCABULARIES
from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, FedehrError
from fedehr_shared.meds.folder import FederationFolder, SiteFolder
from fedehr_shared.meds.schema import HELD_OUT, TUNING
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_simulations.ablation.commit import describe_commit
from fedehr_simulations.arms.workers import SITE_LOG
from fedehr_simulations.in_process import run_in_process
from fedehr_simulations.outcome.finished_run import site_location
from fedehr_simulations.outcome.sites_parts import site_folder
from fedehr_simulations.probe.frozen_encoder import last_weights
from fedehr_simulations.tuning_trials.exchanged import Exchanged, aggregation_error
from fedehr_simulations.tuning_trials.noise import NoisyTransport, UpdateNoise
from fedehr_simulations.tuning_trials.pretraining_run import FOLDER_DIGITS
from fedehr_simulations.tuning_trials.scores import (
    SCORES_FILE,
    SplitScores,
    TunedSite,
    read_scores,
    score_split,
    write_scores,
)
from fedehr_simulations.tuning_trials.trial_figures import FIGURES_FILE, TrialFigures

RUN_FOLDER, FAILURE_FILE = "run", "failure.txt"


@dataclass(frozen=True)
class TrialOutcome:
    """What a trial came to: figures and held-out scores, or why there are none."""

    figures: TrialFigures | None
    held_out: SplitScores | None = None
    reason: str = ""


@dataclass(frozen=True)
class Trial:
    """One fine-tuning; see `Piece`.

    Attributes:
        label: the variant and the candidate in a few words.
        study: with seed, vocabulary and the model that it re-uses.
        noise: what is done to updates; None: nothing.
        federation: the federation folder.
        out: the folder of all trials and of the shelves.
        scratch: below it each process keeps its token stores from trial to trial.
    """

    label: str
    study: StudyConfig
    noise: UpdateNoise | None
    federation: Path
    out: Path
    scratch: Path

    @property
    def title(self) -> str:
        """The trial in a few words."""
        return f"{self.label}, seed {self.study.seed}"

    @property
    def digest(self) -> str:
        """Of all that decides what comes out."""
        return hashlib.sha256(f"{self.study.digest} {self.noise}".encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return self.out / "trials" / self.digest[:FOLDER_DIGITS]

    @property
    def work(self) -> Path:
        """The process's own place for token stores."""
        return self.scratch / str(os.getpid())

    def finished(self) -> TrialOutcome | None:
        """What an earlier call left; None where it must be done.

        Raises:
            DataError: a file is damaged.
        """
        figures = TrialFigures.read(self.folder / FIGURES_FILE)
        if figures is None:
            return None
        return TrialOutcome(figures, read_scores(self.folder / SCORES_FILE))

    def carry_out(self) -> TrialOutcome:
        """Fine-tune and score; a failure is told, so that the other trials go on."""
        shutil.rmtree(self.folder / RUN_FOLDER, ignore_errors=True)
        try:
            return self._carry_out()
        except FedehrError as error:
            return TrialOutcome(None, reason=f"{error} (log: {self.folder / SITE_LOG})")
        except Exception as error:
            file = self.folder / FAILURE_FILE
            file.write_text(traceback.format_exc(), encoding="utf-8")
            return TrialOutcome(
                None, reason=f"it failed unexpectedly ({type(error).__name__}); see {file}."
            )
        finally:
            _forget(self.work)

    def _carry_out(self) -> TrialOutcome:
        sites = FederationFolder(self.federation).sites
        began = time.process_time()
        result = self._finetune(sites)
        cpu_seconds = time.process_time() - began
        vocabulary = VocabularyShelf(self.out / VOCABULARIES).take(self.study.vocabulary.reuse)
        tuned = [self._tuned_site(site, vocabulary) for site in sites]
        tuning, held_out = (score_split(self.study, tuned, split) for split in (TUNING, HELD_OUT))
        figures = TrialFigures(
            title=self.title,
            seed=self.study.seed,
            study_digest=self.study.digest,
            vocabulary_digest=vocabulary.digest,
            pretrained_model=self.study.pretraining.reuse,
            held_out_digest=held_out.digest,
            commit=describe_commit(),
            tuning_auroc=tuning.auroc(self.study.vocabulary.min_cell),
            exchanged=Exchanged.of(result, len(sites)),
            aggregation_error=aggregation_error(self.folder / RUN_FOLDER),
            cpu_seconds=round(cpu_seconds, 3),
        )
        write_scores(self.folder / SCORES_FILE, held_out)
        figures.write(self.folder / FIGURES_FILE)
        return TrialOutcome(figures, held_out)

    def _tuned_site(self, site: SiteFolder, vocabulary: Vocabulary) -> TunedSite:
        """With the parts that the site trained for itself, if the study has such."""
        run_folder = self.folder / RUN_FOLDER
        own = LocalParts(site_folder(run_folder, site.name), self.study, vocabulary.digest)
        data = SiteData(site_location(self.study, site, self.work), self.study, vocabulary)
        return TunedSite(data, own.final(last_weights(run_folder)))

    def _finetune(self, sites: Sequence[SiteFolder]) -> dict[str, Any]:
        noise, exchange = self.noise, self.study.exchange
        result = run_in_process(
            self.study,
            sites,
            self.folder / RUN_FOLDER,
            self.work,
            num_threads=1,
            precision="fp32",
            shelf=VocabularyShelf(self.out / VOCABULARIES),
            models=ModelShelf(self.out / MODELS),
            around=None if noise is None else lambda inner: NoisyTransport(inner, exchange, noise),
        )
        if result["missing"]:
            left = sorted({f"{told['site']} ({told['phase']})" for told in result["missing"]})
            raise DataError(
                f"not all sites took part to the end: {', '.join(left)}. A variant with fewer "
                "sites cannot be compared."
            )
        return result


def _forget(work: Path) -> None:
    """All that a study leaves at a site but its token store: each trial is sent its base anew."""
    for kept in work.glob("*/*"):
        if kept.name != "tokens":
            shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
