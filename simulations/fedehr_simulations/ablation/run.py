"""`AblationRun`: one variant with one seed, trained and measured, as a piece of work.

OUT/<variant>/seed-<n>/run/           the coordinator's folder of the run
OUT/<variant>/seed-<n>/probed.npz     its probes, subject by subject
OUT/<variant>/seed-<n>/figures.json   written last: a run without it is done again
"""

import shutil
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedehr_client.answers.site_data import SiteData
from fedehr_server.phases.model_state import first_pretraining_state
from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, FedehrError
from fedehr_shared.meds.folder import FederationFolder, SiteFolder
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_simulations.ablation.commit import describe_commit
from fedehr_simulations.ablation.figures import FIGURES_FILE, RunFigures
from fedehr_simulations.ablation.masked_loss import Weights, mask_held_out
from fedehr_simulations.ablation.measuring import MeasuredSite, measure, probe_rules
from fedehr_simulations.ablation.own_bias import own_bias
from fedehr_simulations.ablation.passes import passes_of
from fedehr_simulations.ablation.probed_file import PROBED_FILE, read_probed, write_probed
from fedehr_simulations.arms.alone import for_one_site
from fedehr_simulations.arms.pooled_site import write_pooled_site
from fedehr_simulations.arms.workers import SITE_LOG
from fedehr_simulations.in_process import run_in_process
from fedehr_simulations.outcome.finished_run import site_location
from fedehr_simulations.probe.frozen_encoder import last_weights
from fedehr_simulations.probe.probing import ProbedTask

RUN_FOLDER, FAILURE_FILE = "run", "failure.txt"


@dataclass(frozen=True)
class RunOutcome:
    """What a run came to: figures, or why there are none."""

    variant: str
    seed: int
    figures: RunFigures | None
    probed: tuple[ProbedTask, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class AblationRun:
    """One run.

    Attributes:
        variant: the variant's name.
        study: the variant's study, with its seed and the vocabulary that it re-uses.
        pooled: all records in one place instead of a federation.
        federation: the federation folder.
        shelf: the folder that holds the vocabulary.
        folder: where the run is kept.
        work: scratch; removed afterwards.
    """

    variant: str
    study: StudyConfig
    pooled: bool
    federation: Path
    shelf: Path
    folder: Path
    work: Path

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{self.variant}, seed {self.study.seed}"

    def finished(self) -> RunOutcome | None:
        """What an earlier run of the same left; None where it must be done.

        Raises:
            DataError: the folder holds a run of another study or of other records.
        """
        figures = RunFigures.read(self.folder / FIGURES_FILE)
        if figures is None:
            return None
        if figures.study_digest != self.study.digest:
            raise DataError(
                f"{self.folder} holds a run of another study, of other records or of another "
                "variant of this name. Name another --out, or remove that folder."
            )
        return self._outcome(figures)

    def carry_out(self) -> RunOutcome:
        """Train and measure; a failure is told, so that the other runs go on."""
        for old in (self.folder / RUN_FOLDER, self.work):
            shutil.rmtree(old, ignore_errors=True)
        try:
            figures = self._figures()
        except FedehrError as error:
            reason = f"{error} (log: {self.folder / SITE_LOG})"
            return RunOutcome(self.variant, self.study.seed, None, reason=reason)
        except Exception as error:
            file = self.folder / FAILURE_FILE
            file.write_text(traceback.format_exc(), encoding="utf-8")
            reason = f"it failed unexpectedly ({type(error).__name__}); see {file}."
            return RunOutcome(self.variant, self.study.seed, None, reason=reason)
        finally:
            shutil.rmtree(self.work, ignore_errors=True)
        figures.write(self.folder / FIGURES_FILE)
        return self._outcome(figures)

    def _outcome(self, figures: RunFigures) -> RunOutcome:
        probed = read_probed(self.folder / PROBED_FILE)
        return RunOutcome(self.variant, self.study.seed, figures, probed)

    def _figures(self) -> RunFigures:
        sites = FederationFolder(self.federation).sites
        began = time.process_time()
        result = self._train(sites)
        cpu_seconds = time.process_time() - began
        if result["missing"]:
            left = sorted({f"{told['site']} ({told['phase']})" for told in result["missing"]})
            raise DataError(
                f"not all sites took part to the end: {', '.join(left)}. See {self.folder}; a "
                "variant with fewer sites cannot be compared."
            )
        vocabulary = VocabularyShelf(self.shelf).take(self.study.vocabulary.reuse)
        measured_sites = [self._measured_site(site, vocabulary) for site in sites]
        measured = measure(self.study, self._weights(vocabulary), measured_sites)
        rules = probe_rules(self.study)
        write_probed(self.folder / PROBED_FILE, measured.probed)
        return RunFigures(
            variant=self.variant,
            seed=self.study.seed,
            study_digest=self.study.digest,
            vocabulary_digest=vocabulary.digest,
            masks_digest=measured.masks_digest,
            commit=describe_commit(),
            masked_loss=measured.masked_loss,
            masked_loss_own_bias=measured.masked_loss_own_bias,
            own_loss=measured.own_loss,
            probe=tuple(task.score(rules) for task in measured.probed),
            pretraining_loss=tuple(result["pretraining_loss"]),
            passes=passes_of(self.study.pretraining),
            cpu_seconds=round(cpu_seconds, 3),
            bytes_up_per_round=_bytes_up(result),
        )

    def _train(self, sites: Sequence[SiteFolder]) -> dict[str, Any]:
        study, members = self.study, list(sites)
        if self.pooled:
            study = for_one_site(study)
            tasks, cohort = study.tasks_by_name, study.cohort
            members = [write_pooled_site(self.work / "records" / "pooled", sites, tasks, cohort)]
        return run_in_process(
            study,
            members,
            self.folder / RUN_FOLDER,
            self.work,
            num_threads=1,
            precision="fp32",
            shelf=VocabularyShelf(self.shelf),
        )

    def _weights(self, vocabulary: Vocabulary) -> Weights:
        """The last ones; without a round of pre-training those that it would begin with."""
        if self.study.pretraining.rounds == 0:
            return first_pretraining_state(self.study, vocabulary.num_tokens).weights
        return last_weights(self.folder / RUN_FOLDER)

    def _measured_site(self, site: SiteFolder, vocabulary: Vocabulary) -> MeasuredSite:
        location = site_location(self.study, site, self.work)
        data = SiteData(location, self.study, vocabulary)
        return MeasuredSite(
            name=site.name,
            data=data,
            masks=mask_held_out(self.study, site, data, vocabulary),
            bias=None if self.pooled else own_bias(self.study, vocabulary.digest, location.work),
        )


def _bytes_up(result: Mapping[str, Any]) -> int:
    """One site's answer to one round of pre-training, the mean over sites and rounds."""
    moved = result["bytes"]
    ups = [int(told["up"]) for told in moved["per_round"] if told["phase"] == "pretraining"]
    return round(sum(ups) / max(1, len(ups)) / max(1, len(moved["up_per_site"])))
